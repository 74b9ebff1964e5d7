// After warm-up, training and inference ask the system for no memory.
#include "allocation_counter.hpp"
#include "catch.hpp"
#include "phonaut/core/visit.hpp"
#include "phonaut/encoders/zipformer/zipformer_encoder.hpp"
#include "phonaut/frontends/log_mel.hpp"
#include "phonaut/layers/conv1d.hpp"
#include "phonaut/layers/transformer.hpp"
#include "phonaut/ops/glu.hpp"
#include "phonaut/training/adamw.hpp"
#include "phonaut/training/clip.hpp"
#include "phonaut/training/scaled_adam.hpp"

using namespace phonaut;

namespace {

struct Net {
  Conv1d<Cpu> stem;
  GroupNorm<Cpu> norm;
  Transformer<Cpu> encoder;
  ConvTranspose1d<Cpu> up;
  explicit Net(Context<Cpu>& ctx)
      : stem(ctx, {.in = 10, .out = 32, .taps = 3, .stride = 2, .padding = ConvPadding::centred()}),
        norm(ctx, {.dim = 16, .groups = 4}),
        encoder(ctx, {.dim = 16, .layers = 2, .heads = 2, .hidden = 32, .dropout = 0.1, .causal = true}),
        up(ctx, {.in = 32, .out = 4, .taps = 4, .stride = 2, .before = 1, .after = 1}) {}
  Var<Cpu, 3> operator()(const Sequence<Cpu>& x) const {
    const Sequence<Cpu> h = stem(x), y = encoder(norm(h.with(glu(h.frames))));
    return up(y.with(
                  concatenate(std::array{slice(y.frames, 2, 0, 8), swoosh_l(y.frames), slice(y.frames, 2, 8, 16)}, 2)))
        .frames;
  }
  static void visit(auto& self, auto&& f) {
    f("stem", self.stem);
    f("norm", self.norm);
    f("encoder", self.encoder);
    f("up", self.up);
  }
};

}  // namespace

TEST_CASE("the counter of allocations works", "[core]") {
  CHECK(allocations_during([] {}) == 0);
  CHECK(allocations_during([] { operator delete(operator new(9)); }) == 1);
  CHECK(allocations_during([] { Tensor<Cpu, 1>::persistent({9}); }) == 2);  // the block and its memory
  CHECK(allocations_during([] { operator delete(operator new(9, std::align_val_t(64)), std::align_val_t(64)); }) == 1);
}

TEST_CASE("after warm-up nothing is allocated", "[core]") {
  Context<Cpu> ctx;
  const int threads = GENERATE(1, 2);
  ctx.threads(threads);
  const Net net(ctx);
  const auto frames = ctx.full(Shape<3>{2, 41, 10}, 0.5f);
  const Sequence<Cpu> x{ctx.constant(frames), lengths_of(ctx, std::vector<long>{41, 20}), 100};
  INFO(threads << " threads");

  ctx.infer();
  const auto inference = [&] { net(x); };
  for (int warm_up = 0; warm_up < 3; ++warm_up) inference();
  CHECK(allocations_when_warm([&] {
          for (int step = 0; step < 5; ++step) inference();
        }) == 0);

  ctx.train();
  Gradients<Cpu> gradients;
  const auto step = [&] {
    gradients.clear();
    const auto y = net(x);
    ctx.backward(mean(y * y), gradients);
    float total = 0;
    for_each_param(net.norm, [&](const std::string&, const auto& p) { total += gradients[p].data()[0]; });
    ctx.set_step(ctx.step() + 1);
    return total;
  };
  for (int warm_up = 0; warm_up < 3; ++warm_up) step();
  CHECK(allocations_when_warm([&] {
          for (int i = 0; i < 5; ++i) step();
        }) == 0);
}

TEST_CASE("after warm-up a Zipformer and its front end allocate nothing", "[core]") {
  Context<Cpu> ctx;
  const int threads = GENERATE(1, 2);
  INFO(threads << " threads");
  ctx.threads(threads);
  const LogMel<Cpu> log_mel(ctx, {.sample_rate = 8000, .n_fft = 256, .hop = 80, .bands = 20});
  const ZipformerEncoder<Cpu> encoder(
      ctx,
      {.encoder = {.stacks = {{.dim = 16, .layers = 2, .heads = 2, .feedforward = 24, .kernel = 5},
                              {.dim = 24, .layers = 2, .heads = 2, .feedforward = 32, .kernel = 3, .downsample = 2}}},
       .features = 20,
       .channels = {4, 8, 8}});
  const Waveform<Cpu> x{ctx.constant(ctx.full(Shape<2>{2, 4000}, 0.1f)), lengths_of(ctx, std::vector<long>{4000, 2500}),
                        8000};
  ctx.infer();
  const auto inference = [&] { encoder(log_mel(x)); };
  for (int warm_up = 0; warm_up < 3; ++warm_up) inference();
  CHECK(allocations_when_warm([&] {
          for (int i = 0; i < 5; ++i) inference();
        }) == 0);

  ctx.train();
  AdamW<Cpu> optimiser(ctx.backend(), encoder);
  GradientClip<Cpu> clip(encoder, {.most = 1});
  Gradients<Cpu> gradients;
  const auto step = [&] {
    gradients.clear();
    const auto y = encoder(log_mel(x)).frames;
    ctx.backward(mean(y * y), gradients);
    clip.clip(ctx.backend(), gradients);
    optimiser.step(ctx.backend(), gradients, 1e-3);
    ctx.set_step(ctx.step() + 1);
  };
  // The recipe draws lots for what it leaves out: enough steps for each to have been drawn.
  for (int warm_up = 0; warm_up < 60; ++warm_up) step();
  CHECK(allocations_when_warm([&] {
          for (int i = 0; i < 20; ++i) step();
        }) == 0);
}

TEST_CASE("after warm-up an optimiser's step allocates nothing", "[core]") {
  Context<Cpu> ctx;
  const Net net(ctx);
  const Sequence<Cpu> x{ctx.constant(ctx.full(Shape<3>{1, 9, 10}, 0.5f)), {}, 100};
  ctx.train();
  const auto y = net(x);
  const Gradients<Cpu> gradients = ctx.backward(mean(y * y));
  ScaledAdam<Cpu> optimiser(ctx.backend(), net, {.clip_period = 5});
  const auto steps = [&](int count) {
    for (int i = 0; i < count; ++i) optimiser.step(ctx.backend(), gradients, 0.01);
  };
  steps(6);  // one of them finds the first median
  CHECK(allocations_when_warm([&] { steps(12); }) == 0);
}

TEST_CASE("after warm-up a Zipformer trains by its recipe without allocating", "[core]") {
  Context<Cpu> ctx(Cpu{}, 5);
  ZipformerTraining recipe = ZipformerTraining::published();
  recipe.whitening = recipe.score_penalty = recipe.limits = 1;  // whatever is rare would need its first memory late
  recipe.whitening_limit = 1.01;
  const ZipformerStackConfig stack{.dim = 12, .heads = 2, .feedforward = 16, .kernel = 5, .unmasked_dim = 6};
  const ZipformerEncoder<Cpu> model(
      ctx, {.encoder = {.stacks = {stack, stack}, .training = recipe}, .features = 9, .channels = {2, 3, 4}});
  ctx.train();
  const auto frames = ctx.full(Shape<3>{3, 31, 9}, 0.5f);
  const Sequence<Cpu> x{ctx.constant(frames), lengths_of(ctx, std::vector<long>{31, 20, 25}), 100};
  Gradients<Cpu> gradients;
  const auto steps = [&](int count) {
    for (int i = 0; i < count; ++i) {
      gradients.clear();
      const auto y = model(x).frames;
      ctx.backward(mean(y * y), gradients);
    }
  };
  steps(60);
  CHECK(allocations_when_warm([&] { steps(20); }) == 0);
}
