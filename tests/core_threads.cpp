// One read-only model, many threads: each with a context of its own, all with the same bits, while the kernels of each
// use one to three threads of the pool.
#include <thread>

#include "catch.hpp"
#include "phonaut/core/visit.hpp"
#include "phonaut/encoders/zipformer/zipformer_encoder.hpp"
#include "phonaut/frontends/log_mel.hpp"
#include "phonaut/layers/conv1d.hpp"
#include "phonaut/layers/transformer.hpp"
#include "phonaut/testing/gradient_check.hpp"

using namespace phonaut;

namespace {

struct Model {
  Conv1d<Cpu> stem;
  GroupNorm<Cpu> norm;
  Transformer<Cpu> encoder;
  explicit Model(Context<Cpu>& ctx)
      : stem(ctx, {.in = 12, .out = 32, .taps = 3, .stride = 2, .padding = ConvPadding::centred()}),
        norm(ctx, {.dim = 32, .groups = 4}),
        encoder(ctx, {.dim = 32, .layers = 2, .heads = 4, .hidden = 64, .dropout = 0.1}) {}
  Sequence<Cpu> operator()(const Sequence<Cpu>& x) const { return encoder(norm(stem(x))); }
  static void visit(auto& self, auto&& f) {
    f("stem", self.stem);
    f("norm", self.norm);
    f("encoder", self.encoder);
  }
};

/// A Zipformer with two rates and everything that its recipe does in training, on log-mel frames.
struct Encoder {
  LogMel<Cpu> log_mel;
  ZipformerEncoder<Cpu> zipformer;
  explicit Encoder(Context<Cpu>& ctx)
      : log_mel(ctx, {.sample_rate = 8000, .n_fft = 256, .hop = 80, .bands = 20}),
        zipformer(
            ctx,
            {.encoder =
                 {.stacks = {{.dim = 16, .layers = 1, .heads = 2, .feedforward = 24, .kernel = 5},
                             {.dim = 24, .layers = 2, .heads = 2, .feedforward = 32, .kernel = 3, .downsample = 2}}},
             .features = 20,
             .channels = {4, 8, 8}}) {}
  Sequence<Cpu> operator()(const Waveform<Cpu>& x) const { return zipformer(log_mel(x)); }
  static void visit(auto& self, auto&& f) { f("zipformer", self.zipformer); }
};

using Numbers = std::vector<std::vector<float>>;

Sequence<Cpu> frames(Context<Cpu>& ctx, std::uint64_t seed) {
  const auto values = testing::normal(Shape<3>{2, 31, 12}, seed).data;
  return sequence_of(input(ctx, Shape<3>{2, 31, 12}, values), std::vector<long>{31, 17});
}
Waveform<Cpu> samples(Context<Cpu>& ctx, std::uint64_t seed) {
  const auto values = testing::normal(Shape<2>{2, 2400}, seed).data;
  return {input(ctx, Shape<2>{2, 2400}, values), lengths_of(ctx, std::vector<long>{2400, 1800}), 8000};
}

/// Output and all gradients of a training step, then the output of inference, in a context of this thread's own.
template <class Model, class Input>
Numbers work(const Model& model, const Input& in, std::uint64_t seed) {
  Context<Cpu> ctx(Cpu{}, seed);
  ctx.threads(1 + static_cast<int>(seed % 3));
  Numbers all;
  ctx.train();
  const auto y = model(in(ctx, seed)).frames;
  all.push_back(to_vector(y.tensor()));
  const auto gradients = ctx.backward(mean(y * y));
  for_each_param(model, [&](const std::string&, const auto& p) {
    if (gradients.has(p)) all.push_back(to_vector(gradients[p]));
  });
  ctx.infer();
  all.push_back(to_vector(model(in(ctx, seed)).frames.tensor()));
  return all;
}

/// Each of `count` threads gets from the shared model what it gets from it alone.
template <class Model, class Input>
void check_shared(const Model& model, const Input& in, std::uint64_t count, int rounds) {
  std::vector<Numbers> want;
  for (std::uint64_t i = 0; i < count; ++i) want.push_back(work(model, in, i));
  std::vector<Numbers> got(count);
  for (int round = 0; round < rounds; ++round) {
    std::vector<std::thread> threads;
    for (std::uint64_t i = 0; i < count; ++i)
      threads.emplace_back([&, i] { got[static_cast<size_t>(i)] = work(model, in, i); });
    for (auto& thread : threads) thread.join();
    CHECK(got == want);
  }
}

}  // namespace

TEST_CASE("threads share a model", "[core][threads]") {
  Context<Cpu> made;
  check_shared(Model(made), frames, 4, 3);
}

TEST_CASE("eight threads share a Zipformer and its front end", "[core][threads]") {
  Context<Cpu> made;
  check_shared(Encoder(made), samples, 8, 2);
}

TEST_CASE("tensors may be dropped on another thread than their context's", "[core][threads]") {
  Context<Cpu> ctx;
  for (int round = 0; round < 50; ++round) {
    std::vector<Tensor<Cpu, 1>> made;
    for (long i = 0; i < 20; ++i) made.push_back(ctx.full(Shape<1>{100 * i}, static_cast<float>(i)));
    std::thread other([mine = std::move(made)] { CHECK(mine[7].data()[0] == 7.0f); });
    const auto meanwhile = ctx.full(Shape<1>{500}, 1.0f);  // takes from the pool while the other thread gives back
    other.join();
    CHECK(meanwhile.data()[499] == 1.0f);
  }
  // What came back is used again: the pool holds about what one or two rounds need.
  CHECK(ctx.pool().reserved_bytes() < 3u * 20u * 100u * 20u * sizeof(float));
}
