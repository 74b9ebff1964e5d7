// ScaledAdam against its formulas written out parameter by parameter, on every backend of the host, and resumed.
#include <filesystem>

#include "catch.hpp"
#include "phonaut/training/checkpoint.hpp"
#include "phonaut/training/scaled_adam.hpp"
#include "phonaut/training/trainer.hpp"
#include "training_support.hpp"

using namespace phonaut;
using phonaut::testing::all_values;
using phonaut::testing::chosen_gradients;
using phonaut::testing::Mixture;

namespace {

/// Mixed signs and sizes that change from step to step, so that clipping has something to do.
double wave(const std::string& name, long i, int step) {
  const double size = std::pow(10.0, static_cast<double>(i % 3) - 1) * (step % 7 == 6 ? 40 : 1 + 0.2 * (step % 5));
  return size * std::sin(static_cast<double>(i) + static_cast<double>(name.size()) + 0.3 * step);
}

struct Numbers {
  double rate = 0.03, beta1 = 0.9, beta2 = 0.98, epsilon = 1e-8, scalar_rate = 0.1, least = 1e-5, most = 3;
  double most_scalar = 10, clip = 2;
  int size_period = 4, clip_period = 100;
};

/// One parameter of the recipe, in plain loops over double. Nothing here is shared with the library.
struct Plain {
  std::vector<double> p, v, m, products;
  double rms = 0, w = 0;

  Plain(std::vector<double> values, const Numbers& n)
      : p(std::move(values)),
        v(p.size()),
        m(p.size()),
        products(static_cast<size_t>(n.size_period)),
        rms(mean_square_root()) {}
  bool scalar() const { return p.size() == 1; }
  double mean_square_root() const {
    double sum = 0;
    for (double x : p) sum += x * x;
    return std::sqrt(sum / static_cast<double>(p.size()));
  }
  double norm_squared(const std::vector<double>& g, const Numbers& n) const {
    double sum = 0;
    for (double x : g) sum += std::pow(x * (scalar() ? n.scalar_rate : rms), 2);
    return sum;
  }
  void step(const std::vector<double>& g, int t, double rate, const Numbers& n) {
    const double c = 1 - std::pow(n.beta2, t + 1);
    double product = 0, grow = 0;
    for (size_t i = 0; i < p.size(); ++i) product += p[i] * g[i];
    products[static_cast<size_t>(t % n.size_period)] = product;
    if (!scalar() && t % n.size_period == n.size_period - 1) {
      rms = mean_square_root();
      if (t > 0) {
        const double keep = std::pow(n.beta2, n.size_period);
        double mean = 0, sum = 0;
        for (double s : products) {
          mean += s * s / n.size_period;
          sum += s;
        }
        w = keep * w + (1 - keep) * mean;
        grow = -rate * n.scalar_rate * std::sqrt(1 - std::pow(keep, (t + 1) / n.size_period)) * sum /
               (std::sqrt(w) + n.epsilon);
        if (rms < n.least) grow = 0;
        grow = std::min(0.1, std::max(-0.1, grow));
        grow = std::min(grow, (n.most - rms) / rms);
      }
    }
    for (size_t i = 0; i < p.size(); ++i) {
      v[i] = n.beta2 * v[i] + (1 - n.beta2) * g[i] * g[i];
      const double corrected = c < 0.99 ? v[i] / c : v[i];
      double d =
          -rate * (scalar() ? n.scalar_rate : std::max(rms, n.least)) * g[i] / (std::sqrt(corrected) + n.epsilon);
      d += p[i] * grow;
      m[i] = n.beta1 * m[i] + (1 - n.beta1) * d;
      p[i] += m[i];
      if (scalar()) p[i] = std::min(n.most_scalar, std::max(-n.most_scalar, p[i]));
    }
  }
};

/// The clipping of one group.
struct PlainClip {
  std::vector<double> norms;
  double threshold = -1;
  double scale(double norm, int t, const Numbers& n) {
    norms.resize(static_cast<size_t>(n.clip_period));
    if (t == 0) return 1;
    norms[static_cast<size_t>(t % n.clip_period)] = norm;
    const bool early = (t == 10 || t == 20 || t == 40) && t < n.clip_period;
    if (early || t % n.clip_period == 0) {
      std::vector<double> sorted = norms;
      std::sort(sorted.begin(), sorted.end());
      if (early) sorted.erase(sorted.begin(), sorted.end() - t);
      const size_t count = sorted.size();
      threshold = n.clip * sorted[std::min(count - 1, 2 * (count / 4))] * (early ? 2 : 1);
    }
    return threshold < 0 ? 1 : std::min(1.0, threshold / (norm + 1e-20));
  }
};

/// A Mixture trained by the plain formulas; biases are a group of their own, whose rate is `bias_rate` times that of
/// the others. No gradient arrives for `kernel` in steps 5 … 8.
std::vector<double> plain_result(const Numbers& n, int steps, double bias_rate) {
  Context<Reference64> ctx(Reference64{}, 11);
  const Mixture<Reference64> model(ctx);
  std::vector<std::string> names;
  std::vector<Plain> all;
  for_each_param(model, [&](const std::string& name, const auto& p) {
    names.push_back(name);
    all.emplace_back(to_vector(p.tensor()), n);
  });
  PlainClip clips[2];
  for (int t = 0; t < steps; ++t) {
    double squares[2] = {};
    std::vector<std::vector<double>> gradients;
    for (size_t k = 0; k < all.size(); ++k) {
      std::vector<double> g(all[k].p.size());
      for (size_t i = 0; i < g.size(); ++i)
        if (names[k] != "kernel" || t < 5 || t > 8) g[i] = wave(names[k], static_cast<long>(i), t);
      squares[names[k].ends_with("bias")] += all[k].norm_squared(g, n);
      gradients.push_back(g);
    }
    const double scales[2] = {clips[0].scale(std::sqrt(squares[0]), t, n), clips[1].scale(std::sqrt(squares[1]), t, n)};
    for (size_t k = 0; k < all.size(); ++k) {
      const bool bias = names[k].ends_with("bias");
      for (double& g : gradients[k]) g *= scales[bias];
      all[k].step(gradients[k], t, n.rate / (1 + t) * (bias ? bias_rate : 1), n);
    }
  }
  std::vector<double> values;
  for (const Plain& parameter : all) values.insert(values.end(), parameter.p.begin(), parameter.p.end());
  return values;
}

template <class B>
typename ScaledAdam<B>::Config config_of(const Numbers& n, double bias_rate) {
  return {.beta1 = n.beta1,
          .beta2 = n.beta2,
          .epsilon = n.epsilon,
          .scalar_rate = n.scalar_rate,
          .least_size = n.least,
          .most_size = n.most,
          .most_scalar = n.most_scalar,
          .size_period = n.size_period,
          .clip = n.clip,
          .clip_period = n.clip_period,
          .groups = {{[](const std::string& name, size_t) { return name.ends_with("bias"); }, bias_rate}}};
}

template <class B>
std::vector<double> trained(B backend, const Numbers& n, int steps, double bias_rate) {
  Context<B> ctx(backend, 11);
  Mixture<B> model(ctx);
  ScaledAdam<B> optimiser(backend, model, config_of<B>(n, bias_rate));
  for (int t = 0; t < steps; ++t) {
    // Half of the gradients, twice: `scale` makes up for it.
    const auto gradients = chosen_gradients(
        ctx, model, [&](const std::string& name, long i) { return 2 * wave(name, i, t); },
        t >= 5 && t <= 8 ? "kernel" : "nobody");
    optimiser.step(backend, gradients, n.rate / (1 + t), 0.5);
  }
  std::vector<double> values;
  for_each_param(model, [&](const std::string&, const auto& p) {
    for (const auto v : to_vector(p.tensor())) values.push_back(static_cast<double>(v));
  });
  return values;
}

double furthest(const std::vector<double>& a, const std::vector<double>& b) {
  REQUIRE(a.size() == b.size());
  double worst = 0;
  for (size_t i = 0; i < a.size(); ++i) worst = std::max(worst, std::fabs(a[i] - b[i]));
  return worst;
}

std::vector<Cpu> processors() {
  std::vector<Cpu> list;
  for (const Isa isa : {Isa::baseline, Isa::avx2, Isa::avx512})
    if (can_run(isa))
      for (const int threads : {1, 3}) list.push_back(Cpu{{}, threads, isa});
  return list;
}

std::string temporary(const std::string& name) {
  return (std::filesystem::temp_directory_path() / ("phonaut_scaled_adam_" + name + ".safetensors")).string();
}

}  // namespace

TEST_CASE("ScaledAdam follows its formulas", "[training]") {
  std::vector<Numbers> settings(5);
  settings[1].clip_period = 6;                                        // a median of whole periods
  settings[2] = {.most = 0.3, .most_scalar = 0.6, .size_period = 1};  // limits that are reached
  settings[3] = {.beta1 = 0, .least = 0.8, .size_period = 3};         // parameters below the least size
  settings[4].clip = HUGE_VAL;
  for (const Numbers& n : settings) {
    INFO("clip " << n.clip << " period " << n.clip_period << ", size period " << n.size_period);
    const auto exact = plain_result(n, 45, 0.5);
    // Two ways to write the same sums in double.
    CHECK(furthest(trained(Reference64{}, n, 45, 0.5), exact) < 1e-12);
    // In float each of the 45 steps rounds weights of size 1 a few times.
    CHECK(furthest(trained(Reference{}, n, 45, 0.5), exact) < 1e-5);
    for (const Cpu& cpu : processors()) {
      INFO(name_of(cpu.isa) << " with " << cpu.threads << " threads");
      CHECK(furthest(trained(cpu, n, 45, 0.5), exact) < 1e-5);
    }
  }
  // The settings differ in what they do.
  for (size_t i = 1; i < settings.size(); ++i)
    CHECK(furthest(plain_result(settings[0], 45, 0.5), plain_result(settings[i], 45, 0.5)) > 1e-3);
  CHECK(furthest(plain_result(settings[0], 45, 0.5), plain_result(settings[0], 45, 1)) > 1e-3);
}

TEST_CASE("ScaledAdam's numbers do not depend on threads", "[training]") {
  const long width = 301;  // several pieces per matrix, with a ragged last one
  REQUIRE(width * width > kernel::elements_per_piece);
  const auto run = [&](Cpu cpu) {
    Context<Cpu> ctx(cpu, 4);
    Mixture<Cpu> model(ctx, width);
    ScaledAdam<Cpu> optimiser(cpu, model, {.clip_period = 3});
    for (int t = 0; t < 5; ++t)
      optimiser.step(cpu, chosen_gradients(ctx, model, [&](const auto& name, long i) { return wave(name, i, t); }),
                     0.03);
    return std::pair(all_values(model), optimiser.clipped().norm);
  };
  const auto one = run(Cpu{{}, 1, best_isa()}), many = run(Cpu{{}, 4, best_isa()});
  CHECK((one.first == many.first));
  CHECK(one.second == many.second);
}

TEST_CASE("sums of products have the same bits on every instruction set", "[training]") {
  for (const long n : {0L, 1L, 31L, 32L, 33L, 1000L, 65536L}) {
    std::vector<float> x(static_cast<size_t>(n)), z(x);
    const Draws draws = Random{5, 0}.take(2 * n);
    for (long i = 0; i < n; ++i) {
      x[static_cast<size_t>(i)] = static_cast<float>(draws.normal(i));
      z[static_cast<size_t>(i)] = static_cast<float>(draws.normal(n + i));
    }
    const kernel::StretchPair<float> pair{x.data(), z.data(), n};
    const View<const kernel::StretchPair<float>, 1> pairs(&pair, {1});
    kernel::ProductSums want{}, got{};
    kernel::product_sums(Reference{}, pairs, &want);
    for (const Cpu& cpu : processors()) {
      kernel::product_sums(cpu, pairs, &got);
      CHECK((got.xx == want.xx && got.xz == want.xz && got.zz == want.zz));
    }
  }
}

TEST_CASE("gradients that are not finite", "[training]") {
  Context<Cpu> ctx(Cpu{}, 3);
  Mixture<Cpu> model(ctx);
  ScaledAdam<Cpu> optimiser(ctx.backend(), model, {.clip_period = 12});
  const auto step = [&](int t, double broken) {
    optimiser.step(ctx.backend(),
                   chosen_gradients(ctx, model,
                                    [&](const std::string& name, long i) {
                                      return name == "kernel" && i == 3 ? broken : wave(name, i, t);
                                    }),
                   0.03);
  };
  for (int t = 0; t < 11; ++t) step(t, 1);
  CHECK(optimiser.clipped().threshold > 0);
  for (const double broken : {std::nan(""), HUGE_VAL}) {
    const auto before = all_values(model);
    step(11, broken);  // counts as a step with zero gradients: momentum alone moves the weights
    CHECK(optimiser.clipped().scale == 0);
    const auto after = all_values(model);
    CHECK(std::all_of(after.begin(), after.end(), [](double v) { return std::isfinite(v); }));
    CHECK(furthest(before, after) > 0);
  }
  // Until more than half of the remembered norms are not finite.
  int t = 13;
  const auto until_refused = [&] {
    for (; t < 37; ++t) step(t, std::nan(""));
  };
  CHECK_THROWS_AS(until_refused(), NumericalError);
  CHECK(t == 24);
}

TEST_CASE("a run with ScaledAdam and Eden resumes bit for bit", "[training]") {
  struct Run {
    Context<Cpu> ctx;
    Mixture<Cpu> model;
    Trainer<Cpu, ScaledAdam<Cpu>> trainer;

    explicit Run(std::uint64_t seed)
        : ctx(Cpu{}, seed),
          model(ctx),
          trainer(ctx, model, ScaledAdam<Cpu>(ctx.backend(), model, {.clip_period = 7}),
                  {.rate = Eden{.batches = 20, .warmup = 5}.with_epochs_of(9), .clip = HUGE_VAL}) {}
    void until(long steps) {
      while (trainer.step_count() < steps) {
        Var<Cpu, 0> loss;
        for_each_param(model, [&](const std::string&, const auto& p) {
          const auto x = ctx.lift(p);
          const auto noise = input(ctx, p.shape(), draw<float>(ctx, p.size(), Init::normal(0.3)));
          const auto error = x - noise;
          loss = loss ? loss + sum(error * error) : sum(error * error);
        });
        REQUIRE(trainer.step(loss).updated);
      }
    }
    auto state() {
      return [this](auto& archive) {
        archive("", model);
        archive("training/trainer", trainer);
      };
    }
  };
  const std::string path = temporary("resume");
  Run whole(1);
  whole.until(9);
  save_checkpoint(path, whole.state());
  whole.until(30);
  Run resumed(2);
  load_checkpoint(path, resumed.state());
  CHECK(resumed.trainer.step_count() == 9);
  resumed.until(30);
  CHECK((all_values(resumed.model) == all_values(whole.model)));
  CHECK(resumed.trainer.optimiser().clipped().threshold == whole.trainer.optimiser().clipped().threshold);

  // Without what clipping and sizes remember, the run goes another way: the checkpoint holds what matters.
  Run forgetful(2);
  load_checkpoint(path, [&](auto& archive) { archive("", forgetful.model); });
  forgetful.ctx.set_step(9);
  forgetful.ctx.random() = Random{1, 0};
  forgetful.until(30);
  CHECK((all_values(forgetful.model) != all_values(whole.model)));
  std::filesystem::remove(path);
}

TEST_CASE("ScaledAdam refuses options out of range", "[training]") {
  Context<Cpu> ctx;
  const Mixture<Cpu> model(ctx);
  const Cpu cpu;
  CHECK_THROWS_WITH((ScaledAdam<Cpu>(cpu, model, {.beta2 = 1})), "scaled_adam: betas must be in [0, 1), got 0.9 and 1");
  CHECK_THROWS_WITH((ScaledAdam<Cpu>(cpu, model, {.size_period = 0})),
                    "scaled_adam: size_period and clip_period must be at least 1, got 0 and 100");
  CHECK_THROWS_AS((ScaledAdam<Cpu>(cpu, model, {.clip = 0})), ConfigError);
  CHECK_THROWS_AS((ScaledAdam<Cpu>(cpu, model, {.groups = {{}}})), ConfigError);
}

TEST_CASE("Eden as the rate of a trainer", "[training]") {
  const Eden eden{.base = 0.04, .batches = 100, .epochs = 2, .warmup = 10, .warmup_start = 0.5};
  const Schedule rate = eden.with_epochs_of(50);
  CHECK(rate(0) == eden(1, 0));
  CHECK(rate(49) == eden(50, 0));
  CHECK(rate(50) == eden(51, 1));
  CHECK(rate(9) == Approx(0.04 * std::pow(1.01, -0.25)));
}
