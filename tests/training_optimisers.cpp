// Optimisers, clipping and averages against formulas written out by hand, on every backend of the host.
#include "catch.hpp"
#include "phonaut/training/adamw.hpp"
#include "phonaut/training/clip.hpp"
#include "phonaut/training/ema.hpp"
#include "phonaut/training/lion.hpp"
#include "phonaut/training/muon.hpp"
#include "phonaut/training/sgd.hpp"
#include "training_support.hpp"

using namespace phonaut;
using phonaut::testing::all_values;
using phonaut::testing::chosen_gradients;
using phonaut::testing::Mixture;

namespace {

std::vector<Cpu> processors() {
  std::vector<Cpu> list;
  for (const Isa isa : {Isa::baseline, Isa::avx2, Isa::avx512})
    if (can_run(isa))
      for (const int threads : {1, 3}) list.push_back(Cpu{{}, threads, isa});
  return list;
}

struct One {
  Param<Reference64, 2> weight;
  Param<Reference64, 1> bias;
  static void visit(auto& self, auto&& f) { f("weight", self.weight), f("bias", self.bias); }
};

struct Tied {
  Param<Reference64, 1> in, out;
  static void visit(auto& self, auto&& f) { f("in", self.in), f("out", self.out); }
};

/// Values of mixed sign and very different sizes.
double wave(const std::string& name, long i) {
  return std::sin(static_cast<double>(i) + static_cast<double>(name.size())) * std::pow(10.0, i % 5 - 2);
}

/// Trains a Mixture for `steps` steps with wave gradients, scaled anew at each step.
template <class B, class Make>
std::vector<double> trained(B backend, const Make& make, int steps, long width = 5) {
  Context<B> ctx(backend, 11);
  Mixture<B> model(ctx, width);
  auto optimiser = make(backend, model);
  for (int n = 0; n < steps; ++n) {
    const auto gradients =
        chosen_gradients(ctx, model, [&](const std::string& name, long i) { return wave(name, i) * (n - 1.5); });
    optimiser.step(backend, gradients, 0.01 / (n + 1), 0.7);
  }
  return all_values(model);
}

double furthest(const std::vector<double>& a, const std::vector<double>& b) {
  REQUIRE(a.size() == b.size());
  double worst = 0;
  for (size_t i = 0; i < a.size(); ++i) worst = std::max(worst, std::fabs(a[i] - b[i]));
  return worst;
}

/// Five float steps against the same in double. The weights are of size 1 and each step rounds a few times; the
/// updates themselves, of size 0.01, add less.
constexpr double few_roundings = 2e-6;

template <class Make>
void check_backends(const Make& make) {
  const auto exact = trained(Reference64{}, make, 5);
  CHECK(furthest(trained(Reference{}, make, 5), exact) < few_roundings);
  for (const Cpu& cpu : processors()) {
    INFO(name_of(cpu.isa) << " with " << cpu.threads << " threads");
    CHECK(furthest(trained(cpu, make, 5), exact) < few_roundings);
  }
}

}  // namespace

TEST_CASE("AdamW agrees with two steps worked out by hand", "[training]") {
  // p = 1, g = 0.5 then -1, rate 0.1, decay 0.1, betas (0.9, 0.99), epsilon 0.
  // Step 1: m = 0.05, v = 0.0025; corrected 0.5 and 0.25; p = 1 · (1 - 0.01) - 0.1 · 0.5 / 0.5 = 0.89.
  // Step 2: m = 0.045 - 0.1 = -0.055, v = 0.002475 + 0.01 = 0.012475; corrected by 0.19 and 0.0199:
  //         p = 0.89 · 0.99 - 0.1 · (-0.055 / 0.19) / √(0.012475 / 0.0199).
  Context<Reference64> ctx;
  One model{make_param(ctx, Shape<2>{1, 1}, Init::constant(1)), make_param(ctx, Shape<1>{1}, Init::constant(1))};
  AdamW<Reference64> adamw(ctx.backend(), model, {.beta1 = 0.9, .beta2 = 0.99, .epsilon = 1e-300, .weight_decay = 0.1});
  CHECK(adamw.slots()[0].decays);
  CHECK_FALSE(adamw.slots()[1].decays);  // rank 1
  const auto both = [&](double g) { return chosen_gradients(ctx, model, [g](auto&, long) { return g; }); };
  adamw.step(ctx.backend(), both(0.5), 0.1);
  CHECK(to_vector(model.weight.tensor())[0] == Approx(0.89).epsilon(1e-14));
  CHECK(to_vector(model.bias.tensor())[0] == Approx(0.90).epsilon(1e-14));
  adamw.step(ctx.backend(), both(-1), 0.1);
  const double step = 0.1 * (-0.055 / 0.19) / std::sqrt(0.012475 / 0.0199);
  CHECK(to_vector(model.weight.tensor())[0] == Approx(0.89 * 0.99 - step).epsilon(1e-14));
  CHECK(to_vector(model.bias.tensor())[0] == Approx(0.90 - step).epsilon(1e-14));
}

TEST_CASE("elementwise optimisers give the double-precision result on every backend", "[training]") {
  check_backends([](const auto& b, const auto& m) { return AdamW<std::decay_t<decltype(b)>>(b, m); });
  check_backends([](const auto& b, const auto& m) {
    return AdamW<std::decay_t<decltype(b)>>(b, m, {.weight_decay = 0.1, .decoupled = false});
  });
  check_backends([](const auto& b, const auto& m) { return Lion<std::decay_t<decltype(b)>>(b, m); });
  check_backends([](const auto& b, const auto& m) {
    return Sgd<std::decay_t<decltype(b)>>(b, m, {.momentum = 0.8, .nesterov = true, .weight_decay = 0.1});
  });
}

TEST_CASE("Muon and AdamW share a model between them", "[training]") {
  const auto make = [](const auto& b, const auto& m) {
    using B = std::decay_t<decltype(b)>;
    return OptimiserPair(Muon<B>(b, m, {}),
                         AdamW<B>(b, m, {.trains = [](const std::string&, size_t rank) { return rank != 2; }}), 0.1);
  };
  check_backends(make);
  const auto only = [](const auto& b, const auto& m) { return Muon<std::decay_t<decltype(b)>>(b, m, {}); };
  Context<Reference64> ctx(Reference64{}, 11);
  const auto before = all_values(Mixture<Reference64>(ctx)), after = trained(Reference64{}, only, 2);
  CHECK(before[0] != after[0]);    // a matrix
  CHECK(before[25] == after[25]);  // its bias
}

TEST_CASE("results do not depend on the number of threads", "[training][threads]") {
  // Wide enough for several pieces per parameter, with a ragged last one.
  const long width = 301;
  REQUIRE(width * width > kernel::elements_per_piece);
  const auto make = [](const auto& b, const auto& m) { return AdamW<Cpu>(b, m); };
  const Cpu one{{}, 1, best_isa()}, many{{}, 4, best_isa()};
  CHECK((trained(one, make, 3, width) == trained(many, make, 3, width)));

  Context<Cpu> ctx(one, 3);
  Mixture<Cpu> model(ctx, width);
  const auto gradients = chosen_gradients(ctx, model, wave);
  GradientClip<Cpu> clip(model, {.most = 1});
  const double norm = clip.measure(one, gradients).norm;
  CHECK(clip.measure(many, gradients).norm == norm);
  for (const Cpu& cpu : processors()) CHECK(clip.measure(cpu, gradients).norm == norm);
}

TEST_CASE("a parameter without a gradient keeps its value and its count of steps", "[training]") {
  Context<Reference64> ctx(Reference64{}, 5);
  Mixture<Reference64> model(ctx);
  AdamW<Reference64> adamw(ctx.backend(), model);
  const auto before = to_vector(model.kernel.tensor());
  adamw.step(ctx.backend(), chosen_gradients(ctx, model, wave, "kernel"), 0.1);
  CHECK(to_vector(model.kernel.tensor()) == before);
  // Its first step is corrected as a first step, though it is the optimiser's second: |update| = rate (plus decay).
  adamw.step(ctx.backend(), chosen_gradients(ctx, model, [](auto&, long) { return 3.0; }), 0.1);
  for (size_t i = 0; i < before.size(); ++i)
    CHECK(to_vector(model.kernel.tensor())[i] == Approx(before[i] * (1 - 0.1 * 0.01) - 0.1).epsilon(1e-7));
}

TEST_CASE("tied weights are trained once", "[training]") {
  Context<Reference64> ctx(Reference64{}, 5);
  Tied model;
  model.in = model.out = make_param(ctx, Shape<1>{2}, Init::constant(1));
  Sgd<Reference64> sgd(ctx.backend(), model, {.momentum = 0});
  CHECK(sgd.slots().size() == 1);
  sgd.step(ctx.backend(), chosen_gradients(ctx, model, [](auto&, long) { return 1.0; }), 0.1);
  CHECK(to_vector(model.out.tensor())[0] == Approx(1 - 0.1 * 2));  // both uses add to one gradient
}

TEST_CASE("clipping by the norm of all gradients together", "[training]") {
  Context<Cpu> ctx;
  Mixture<Cpu> model(ctx);
  auto gradients = chosen_gradients(ctx, model, wave);
  double squares = 0, largest = 0;
  for_each_param(model, [&](const std::string& name, const auto& p) {
    for (long i = 0; i < p.size(); ++i) {
      squares += wave(name, i) * wave(name, i);
      largest = std::max(largest, std::fabs(wave(name, i)));
    }
  });
  GradientClip<Cpu> clip(model, {.most = 2});
  const Clipping found = clip.clip(ctx.backend(), gradients);
  CHECK(found.norm == Approx(std::sqrt(squares)).epsilon(1e-6));  // gradients were rounded to float
  CHECK(found.coefficient == Approx(2 / (found.norm + 1e-6)));
  CHECK(clip.measure(ctx.backend(), gradients).norm == Approx(2).epsilon(1e-6));
  CHECK(clip.measure(ctx.backend(), gradients, 0.25).norm == Approx(0.5).epsilon(1e-6));
  CHECK(clip.measure(ctx.backend(), gradients, 0.25).coefficient == 1);
  gradients = chosen_gradients(ctx, model, wave);
  GradientClip<Cpu> by_largest(model, {.most = 1, .norm = GradientClip<Cpu>::Norm::largest});
  CHECK(by_largest.measure(ctx.backend(), gradients).norm == Approx(largest).epsilon(1e-6));

  for (const double broken : {std::nan(""), HUGE_VAL, -HUGE_VAL}) {
    gradients = chosen_gradients(ctx, model, [&](const std::string& name, long i) {
      return name == "kernel" && i == 17 ? broken : wave(name, i);
    });
    CHECK_FALSE(clip.measure(ctx.backend(), gradients).finite());
    CHECK_FALSE(by_largest.measure(ctx.backend(), gradients).finite());
    const auto before = to_vector(gradients[model.gain]);
    CHECK_FALSE(clip.clip(ctx.backend(), gradients).finite());
    CHECK(to_vector(gradients[model.gain]) == before);
  }
  CHECK_THROWS_WITH((GradientClip<Cpu>(model, {.most = 0})), "clip: the greatest norm must be positive, got 0");
}

TEST_CASE("an average follows its model, and states are copied", "[training]") {
  const auto check = [](auto backend) {
    using B = decltype(backend);
    Context<B> ctx(backend, 2);
    Mixture<B> model(ctx);
    auto average = deep_copy(model, backend);
    Ema<B> ema(average, model, {.keep = ConstantSchedule{0.9}, .warm_up = true});
    const double start = static_cast<double>(model.kernel.tensor().data()[5]);
    model.kernel.tensor().data()[5] = 3;
    model.counts.tensor().data()[2] = 42;
    ema.update(backend);
    const double keep = 2.0 / 11;  // (1 + n) / (10 + n) with n = 1
    CHECK(average.kernel.tensor().data()[5] == Approx(keep * start + (1 - keep) * 3).epsilon(1e-6));
    CHECK(average.counts.tensor().data()[2] == 42);
    for (int i = 0; i < 500; ++i) ema.update(backend);
    // A step below half a rounding unit of 3 no longer moves it: 0.1 · difference < 1.2e-7.
    CHECK(std::fabs(average.kernel.tensor().data()[5] - 3) < 1.2e-6);
    average.kernel.tensor().data()[5] = model.kernel.tensor().data()[5];
    CHECK((all_values(average) == all_values(model)));  // what stood still is a fixed point, to the last bit
    CHECK(ema.updates() == 501);
  };
  check(Reference64{});
  for (const Cpu& cpu : processors()) check(cpu);

  Context<Cpu> ctx;
  Mixture<Cpu> model(ctx), wider(ctx, 6);
  Mixture<Cpu> shared = model;  // NOLINT(performance-unnecessary-copy-initialization): a copy shares the weights
  CHECK_THROWS_AS((Ema<Cpu>(shared, model, {})), ConfigError);
  CHECK_THROWS_AS((Ema<Cpu>(wider, model, {})), ShapeError);
}

TEST_CASE("teachers keep what their papers say", "[training]") {
  const auto line = Ema<Cpu>::data2vec_teacher().keep, cosine = Ema<Cpu>::cosine_teacher(1000).keep;
  CHECK(line(0) == 0.999);
  CHECK(line(15000) == Approx(0.99945).epsilon(1e-12));
  CHECK(line(1e6) == 0.9999);
  CHECK(cosine(0) == Approx(0.996).epsilon(1e-12));
  CHECK(cosine(500) == Approx(0.998).epsilon(1e-12));
  // BYOL: 1 - (1 - τ) (cos(πk / K) + 1) / 2
  CHECK(cosine(200) == Approx(1 - 0.004 * (std::cos(3.14159265358979 * 0.2) + 1) / 2).epsilon(1e-12));
  CHECK(cosine(1000) == 1);
  CHECK_FALSE(Ema<Cpu>::data2vec_teacher().warm_up);
  CHECK_FALSE(Ema<Cpu>::cosine_teacher(10).warm_up);
}

TEST_CASE("options out of range are refused", "[training]") {
  Context<Cpu> ctx;
  const Mixture<Cpu> model(ctx);
  const Cpu cpu;
  CHECK_THROWS_WITH((AdamW<Cpu>(cpu, model, {.beta1 = 1})), "adamw: betas must be in [0, 1), got 1 and 0.999");
  CHECK_THROWS_AS((AdamW<Cpu>(cpu, model, {.epsilon = 0})), ConfigError);
  CHECK_THROWS_AS((AdamW<Cpu>(cpu, model, {.weight_decay = std::nan("")})), ConfigError);
  CHECK_THROWS_AS((Sgd<Cpu>(cpu, model, {.momentum = 1.5})), ConfigError);
  CHECK_THROWS_AS((Lion<Cpu>(cpu, model, {.beta2 = -1})), ConfigError);
  CHECK_THROWS_AS((Muon<Cpu>(cpu, model, {.iterations = 0})), ConfigError);
}
