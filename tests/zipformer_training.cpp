// What a Zipformer does in training alone: its switches, its draws, its gradients, and a run that resumes.
#include <unistd.h>

#include <filesystem>
#include <memory>

#include "catch.hpp"
#include "phonaut/core/recompute.hpp"
#include "phonaut/encoders/zipformer/zipformer_encoder.hpp"
#include "phonaut/testing/gradient_check.hpp"
#include "phonaut/training/checkpoint.hpp"
#include "phonaut/training/scaled_adam.hpp"
#include "phonaut/training/trainer.hpp"
#include "small_zipformer.hpp"

using namespace phonaut;
using phonaut::testing::normal;

namespace {

using Settings = ZipformerTraining;

ZipformerConfig small_config(const Settings& training, bool causal = false) {
  return testing::small_zipformer(training, 2, causal);
}

/// Everything that the recipe can do switched off one by one, not by its main switch.
Settings nothing() {
  Settings t = Settings::published();
  t.dropout = t.attention_skip = t.conv_skip = t.feed_forward2_skip = t.feed_forward3_skip = 0;
  t.even_attention = t.position_skip = t.position_dropout = t.stem_skip = 0;
  t.feature_mask = t.layer_skip_first = t.layer_skip_last = 0;
  t.balancers = false;
  t.whitening = t.score_penalty = t.limits = 0;
  t.stem_gradient = 1;
  return t;
}

struct Outcome {
  std::vector<double> values, gradients;
  std::uint64_t drawn = 0;
  bool operator==(const Outcome&) const = default;
};

const Shape<3> features_shape{3, 27, 9};

/// One forward and backward pass of a model whose weights do not depend on `training`.
template <class B>
Outcome pass(B backend, const Settings& training, long step = 0, bool train = true, std::uint64_t seed = 1,
             double spread = 1) {
  Context<B> ctx(backend, 1);
  const ZipformerEncoder<B> model(ctx, {.encoder = small_config(training), .features = 9, .channels = {2, 3, 4}});
  ctx.random() = Random{seed, 100000};
  ctx.poison(true);
  ctx.set_recording(true);
  ctx.set_training(train);
  ctx.set_step(step);
  const auto x = sequence_of(input(ctx, features_shape, normal(features_shape, 3, spread).data),
                             std::vector<long>{27, 20, 27}, 100);
  const auto y = model(x);
  Outcome outcome;
  for (const auto v : values_of(y.frames)) outcome.values.push_back(static_cast<double>(v));
  const auto weights = input(ctx, y.frames.shape(), normal(y.frames.shape(), 4).data);
  const auto gradients = ctx.backward(sum(weights * y.frames));
  for_each_param(model, [&](const std::string&, const auto& p) {
    if (!gradients.has(p)) return;
    for (const auto g : values_of(ctx, gradients[p])) outcome.gradients.push_back(static_cast<double>(g));
  });
  outcome.drawn = ctx.random().used - 100000;
  return outcome;
}

double furthest(const std::vector<double>& a, const std::vector<double>& b) {
  REQUIRE(a.size() == b.size());
  double worst = 0, scale = 1e-30;
  for (size_t i = 0; i < a.size(); ++i) {
    worst = std::max(worst, std::isnan(a[i]) ? HUGE_VAL : std::fabs(a[i] - b[i]));
    scale = std::max(scale, std::fabs(b[i]));
  }
  return worst / scale;
}

}  // namespace

TEST_CASE("schedules", "[zipformer]") {
  constexpr ScheduledFloat line{{{10, 1}, {20, 3}, {40, -1}}, 7};
  CHECK(line.at(-5) == 1);
  CHECK(line.at(10) == 1);
  CHECK(line.at(15) == 2);
  CHECK(line.at(30) == 1);
  CHECK(line.at(40) == -1);
  CHECK(line.at(1e9) == -1);
  CHECK(line.at_rest() == 7);
  CHECK(ScheduledFloat(0.5).at(3) == 0.5);
  CHECK(ScheduledFloat(0.5).at_rest() == 0.5);
  CHECK_THROWS_WITH((ScheduledFloat{{5, 1}, {5, 2}}), "schedule: the point at batch 5 is not behind that at 5");
  CHECK_THROWS_AS((ScheduledFloat{{1, 1}, {2, 2}, {3, 3}, {4, 4}, {5, 5}}), ConfigError);
}

TEST_CASE("outside of training nothing happens and nothing is drawn", "[zipformer]") {
  const Outcome plain = pass(Cpu{}, Settings::off(), 0, false);
  CHECK(plain.drawn == 0);
  CHECK((pass(Cpu{}, Settings::published(), 0, false) == plain));
  // Switched off, training gives the same numbers.
  CHECK((pass(Cpu{}, Settings::off()) == plain));
  CHECK((pass(Cpu{}, nothing()) == plain));
  const Outcome published = pass(Cpu{}, Settings::published());
  CHECK(published.drawn > 0);
  CHECK(furthest(published.values, plain.values) > 0.01);
}

TEST_CASE("each part has a switch of its own", "[zipformer]") {
  const Outcome plain = pass(Cpu{}, nothing());
  const auto check = [&](const char* part, const auto& change, bool shows_in_values, bool draws = true) {
    INFO(part);
    Settings t = nothing();
    change(t);
    const Outcome found = pass(Cpu{}, t, 0, true, 1, 3);
    const Outcome without = pass(Cpu{}, nothing(), 0, true, 1, 3);
    CHECK((found.drawn > 0) == draws);
    CHECK((found.values != without.values) == shows_in_values);
    CHECK((found.gradients != without.gradients));
  };
  check(
      "dropout", [](Settings& t) { t.dropout = 0.5; }, true);
  check(
      "attention_skip", [](Settings& t) { t.attention_skip = 0.5; }, true);
  check(
      "conv_skip", [](Settings& t) { t.conv_skip = 0.5; }, true);
  check(
      "feed_forward2_skip", [](Settings& t) { t.feed_forward2_skip = 0.5; }, true);
  check(
      "feed_forward3_skip", [](Settings& t) { t.feed_forward3_skip = 0.5; }, true);
  check(
      "even_attention", [](Settings& t) { t.even_attention = 1; }, true, false);
  check(
      "position_skip", [](Settings& t) { t.position_skip = 1; }, true, false);
  check(
      "position_dropout", [](Settings& t) { t.position_dropout = 0.5; }, true);
  check(
      "stem_skip", [](Settings& t) { t.stem_skip = 0.5; }, true);
  check(
      "feature_mask", [](Settings& t) { t.feature_mask = 0.5; }, true);
  check(
      "layer_skip", [](Settings& t) { t.layer_skip_first = 0.7; }, true);
  check(
      "balancers", [](Settings& t) { t.balancers = true; }, false);
  check(
      "balancer_probability", [](Settings& t) { t.balancers = true, t.balancer_probability = 1; }, false, false);
  check(
      "whitening", [](Settings& t) { t.whitening = 0.9, t.whitening_limit = 1.1; }, false);
  check(
      "whitening everywhere", [](Settings& t) { t.whitening = 1, t.whitening_limit = 1.1; }, false, false);
  check(
      "limits", [](Settings& t) { t.limits = 1, t.bypass_least = 0.9; }, false, false);
  check(
      "byte_slopes", [](Settings& t) { t.byte_slopes = true; }, false);
  // Scores are small at the start, so that nothing is penalised: the draw is all there is to see.
  Settings t = nothing();
  t.score_penalty = 0.9;
  CHECK(pass(Cpu{}, t).drawn > 0);
  t = nothing();
  t.stem_gradient = 0.5;
  CHECK((pass(Cpu{}, t).gradients != plain.gradients));
  CHECK(pass(Cpu{}, t).drawn == 0);
}

TEST_CASE("draws depend on the seed alone", "[zipformer]") {
  const Settings t = Settings::published();
  for (const long step : {0L, 3000L}) {
    const Outcome one = pass(Cpu{{}, 1, best_isa()}, t, step);
    CHECK((pass(Cpu{{}, 2, best_isa()}, t, step) == one));
    CHECK((pass(Cpu{{}, 1, best_isa()}, t, step) == one));
    const Outcome other = pass(Cpu{{}, 1, best_isa()}, t, step, true, 2);
    CHECK(furthest(other.values, one.values) > 0.01);
    // The same draws on every backend, so that values differ by rounding alone: some hundred operations deep.
    const Outcome exact = pass(Reference64{}, t, step);
    CHECK(exact.drawn == one.drawn);
    for (const Isa isa : {Isa::baseline, Isa::avx2, Isa::avx512})
      if (can_run(isa)) {
        const Outcome found = pass(Cpu{{}, 2, isa}, t, step);
        CHECK(furthest(found.values, exact.values) < 1e-5);
        CHECK(furthest(found.gradients, exact.gradients) < 1e-4);
      }
  }
}

TEST_CASE("schedules follow the step, in batches", "[zipformer]") {
  Settings slow = Settings::published();
  slow.batches_per_step = 0.1;
  CHECK((pass(Cpu{}, slow, 5000) == pass(Cpu{}, Settings::published(), 500)));
  CHECK((pass(Cpu{}, slow, 5000) != pass(Cpu{}, Settings::published(), 5000)));
  Settings still = Settings::published();
  still.schedules_at = 500;
  for (const long step : {0L, 5000L}) CHECK((pass(Cpu{}, still, step) == pass(Cpu{}, Settings::published(), 500)));

  // Layers take turns: stack i of n begins at batch 4000 (i + 1) / (n + 1), its layers share the time until the next.
  Context<Cpu> ctx;
  ZipformerConfig config = small_config(Settings::published());
  for (auto& stack : config.stacks) stack.layers = 3;
  const Zipformer<Cpu> model(ctx, config);
  for (size_t i = 0; i < 2; ++i)
    for (size_t j = 0; j < 3; ++j) {
      const double begin = 4000.0 * double(i + 1) / 3, end = 4000.0 * double(i + 2) / 3, turn = (end - begin) / 3;
      const ScheduledFloat& skip = model.encoders[i].layers[j].bypass.config.skip;
      const double last = 0.035 * std::sqrt(i == 0 ? 1.0 : 2.0);
      CHECK(skip.at(begin + turn * double(j)) == Approx(0.5));
      CHECK(skip.at(begin + turn * (double(j) + 0.5)) == Approx((0.5 + last) / 2));
      CHECK(skip.at(begin + turn * double(j + 1)) == Approx(last));
      CHECK(model.encoders[i].layers[j].bypass_mid.config.skip.at(0) == 0);
    }
  CHECK(ZipformerConfig::medium().stacks[3].unmasked_dim == 256);
  CHECK_FALSE(ZipformerStackConfig{}.training.on);  // what is composed by hand starts plain
}

TEST_CASE("a layer that is computed again draws the same", "[zipformer]") {
  const auto gradients_of = [](bool again) {
    Context<Cpu> ctx(Cpu{}, 1);
    Settings t = Settings::published();
    t.whitening = t.score_penalty = 1;
    t.whitening_limit = 1.1;
    const ZipformerStack<Cpu> stack(ctx, {.dim = 12, .heads = 2, .feedforward = 16, .kernel = 5, .training = t});
    ctx.train();
    const Shape<3> shape{4, 9, 12};
    const auto x = ctx.variable(input(ctx, shape, normal(shape, 3).data).tensor());
    const auto run = [&](const Var<Cpu, 3>& v) { return stack(Sequence<Cpu>{v, {}, 0}).frames; };
    const auto y = again ? recompute(x, run) : run(x);
    const auto gradients = ctx.backward(sum(y * y));
    std::vector<double> values;
    for_each_param(stack, [&](const std::string&, const auto& p) {
      if (!gradients.has(p)) return;
      for (const float g : to_vector(gradients[p])) values.push_back(static_cast<double>(g));
    });
    values.push_back(static_cast<double>(ctx.random().used));
    return values;
  };
  CHECK((gradients_of(true) == gradients_of(false)));
}

TEST_CASE("masks and skips have exact gradients", "[zipformer]") {
  // Rules bend gradients on purpose; without them backward is the derivative of what forward computed.
  Settings t = Settings::published();
  t.balancers = false;
  t.whitening = t.score_penalty = t.limits = 0;
  t.even_attention = 0;  // passes no gradient to the weights
  t.stem_gradient = 1;
  const auto prepare = [](auto& ctx) { ctx.set_training(true); };
  std::vector<std::shared_ptr<void>> models;  // a tape knows parameters by their address: they outlive it
  // The weights of the model are the first draws; float sums through two layers.
  const auto check = [&](const auto& run, const auto& in) {
    for (const Isa isa : {Isa::baseline, best_isa()}) {
      const auto found = testing::compare(Cpu{{}, 2, isa}, run, std::tuple{in}, prepare);
      CHECK(found.value < 1e-5);
      CHECK(found.worst_gradient() < 5e-5);
    }
    const auto exact = testing::compare(Reference64{}, run, std::tuple{in}, prepare);
    CHECK(exact.worst_gradient() < 1e-11);
  };
  for (const bool causal : {false, true})
    check(
        [&]<class V>(const V& x) {
          using B = typename V::Backend;
          const auto model = std::make_shared<Zipformer<B>>(x.context(), small_config(t, causal));
          models.push_back(model);
          x.context().set_step(2000);  // some layers are awake
          return (*model)(sequence_of(x, std::vector<long>{7, 5, 7}), causal ? Chunking{4, 8} : Chunking{}).frames;
        },
        normal(Shape<3>{3, 7, 8}, 5));
  check(
      [&]<class V>(const V& x) {
        using B = typename V::Backend;
        using Stem = Conv2dSubsampling<B>;
        const auto stem = std::make_shared<Stem>(
            x.context(), typename Stem::Config{.features = 9, .out = 5, .channels = {2, 3, 4}, .training = t});
        models.push_back(stem);
        return (*stem)(sequence_of(x, std::vector<long>{17, 11})).frames;
      },
      normal(Shape<3>{2, 17, 9}, 6));
}

TEST_CASE("a Zipformer that trains by its recipe resumes bit for bit", "[zipformer]") {
  struct Run {
    Context<Cpu> ctx;
    Zipformer<Cpu> model;
    Trainer<Cpu, ScaledAdam<Cpu>> trainer;
    double last = 0;

    explicit Run(std::uint64_t seed)
        : ctx(Cpu{}, seed),
          model(ctx,
                [] {
                  Settings t = Settings::published();
                  t.batches_per_step = 500;  // schedules move while we look
                  return small_config(t);
                }()),
          trainer(ctx, model, ScaledAdam<Cpu>(ctx.backend(), model, {.clip_period = 5}),
                  {.rate = Eden{.warmup = 3}.with_epochs_of(10), .clip = HUGE_VAL}) {}
    void until(long steps) {
      const Shape<3> shape{3, 12, 8};
      while (trainer.step_count() < steps) {
        const auto x = input(ctx, shape, normal(shape, 77).data);
        const auto y = model(sequence_of(x, std::vector<long>{12, 12, 9})).frames;
        const auto error = y - input(ctx, y.shape(), normal(y.shape(), 78).data);
        const TrainStep done = trainer.step(mean(error * error));
        REQUIRE(done.updated);
        last = done.loss;
      }
    }
    auto state() {
      return [this](auto& archive) {
        archive("", model);
        archive("training/trainer", trainer);
      };
    }
    std::vector<float> weights() const {
      std::vector<float> all;
      for_each_param(model, [&](const std::string&, const auto& p) {
        for (const float v : to_vector(p.tensor())) all.push_back(v);
      });
      return all;
    }
  };
  const std::string path =
      (std::filesystem::temp_directory_path() / concat("phonaut_zipformer_training_", ::getpid(), ".safetensors"))
          .string();
  Run whole(1);
  whole.until(1);
  const double first = whole.last;
  whole.until(6);
  save_checkpoint(path, whole.state());
  whole.until(14);
  Run resumed(2);
  load_checkpoint(path, resumed.state());
  resumed.until(14);
  CHECK((resumed.weights() == whole.weights()));
  CHECK(resumed.last == whole.last);
  std::filesystem::remove(path);
  whole.until(150);
  CHECK(whole.last < 0.9 * first);  // it learns, too
}
