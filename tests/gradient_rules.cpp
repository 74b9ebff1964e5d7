// Ops that hand on their input and change its gradient alone. Their rules are held against the formulas of the recipe,
// written out in plain loops over double.
#include "catch.hpp"
#include "phonaut/core/recompute.hpp"
#include "phonaut/ops/balance.hpp"
#include "phonaut/ops/even_weights.hpp"
#include "phonaut/ops/limit_value.hpp"
#include "phonaut/ops/penalize_large.hpp"
#include "phonaut/ops/penalize_scores.hpp"
#include "phonaut/ops/scale_by.hpp"
#include "phonaut/ops/scale_gradient.hpp"
#include "phonaut/ops/swoosh_in_bytes.hpp"
#include "phonaut/ops/whiten.hpp"
#include "phonaut/testing/gradient_check.hpp"

using namespace phonaut;
using phonaut::testing::normal;

namespace {

std::vector<Cpu> processors() {
  std::vector<Cpu> list;
  for (const Isa isa : {Isa::baseline, Isa::avx2, Isa::avx512})
    if (can_run(isa))
      for (const int threads : {1, 3}) list.push_back(Cpu{{}, threads, isa});
  return list;
}

/// The gradient that arrives at x behind `rule`, when dy arrives at what it returns. Checks on the way that the
/// elements are handed on where they are, and that a second use adds.
template <class B, size_t R, class Rule>
std::vector<double> gradient_behind(B backend, const Shape<R>& shape, const std::vector<double>& x,
                                    const std::vector<double>& dy, const Rule& rule) {
  Context<B> ctx(backend);
  ctx.poison(true);
  ctx.set_recording(true);
  const auto value = ctx.variable(input(ctx, shape, x).tensor());
  const auto weights = input(ctx, shape, dy);
  const auto y = rule(value), again = rule(value);
  CHECK(y.tensor().data() == value.tensor().data());
  const auto gradients = ctx.backward(sum(weights * y) + sum(weights * again));
  std::vector<double> half;
  for (const auto g : values_of(ctx, gradients[value])) half.push_back(0.5 * static_cast<double>(g));
  return half;
}

double furthest(const std::vector<double>& got, const std::vector<double>& want) {
  REQUIRE(got.size() == want.size());
  double worst = 0, scale = 1e-30;
  for (size_t i = 0; i < got.size(); ++i) {
    worst = std::max(worst, std::isnan(got[i]) ? HUGE_VAL : std::fabs(got[i] - want[i]));
    scale = std::max(scale, std::fabs(want[i]));
  }
  return worst / scale;
}

/// On every backend. Statistics over `rows` frames in float, and a division of numbers of like size.
template <size_t R, class Rule>
void check_rule(const Shape<R>& shape, const std::vector<double>& x, const std::vector<double>& dy, const Rule& rule,
                const std::vector<double>& want) {
  CHECK(furthest(gradient_behind(Reference64{}, shape, x, dy, rule), want) < 1e-12);
  CHECK(furthest(gradient_behind(Reference{}, shape, x, dy, rule), want) < 1e-6);
  std::vector<double> first;
  for (const Cpu& cpu : processors()) {
    INFO(name_of(cpu.isa) << " with " << cpu.threads << " threads");
    const auto got = gradient_behind(cpu, shape, x, dy, rule);
    CHECK(furthest(got, want) < 1e-6);
    if (cpu.threads == 1) first = got;
    else CHECK((got == first));
  }
}

/// Whether a row of (batch, time, bands) is real.
struct Padded {
  long time, bands;
  std::vector<long> lengths;
  bool real(long row) const {
    return lengths.empty() || row / bands % time < lengths[static_cast<size_t>(row / bands / time)];
  }
};

/// The balancer, element by element, with the gradient normalised at last.
std::vector<double> balanced(const std::vector<double>& x, const std::vector<double>& dy, long width,
                             const BalanceOptions& o, const Padded& padded) {
  std::vector<double> dx = dy;
  const long rows = static_cast<long>(x.size()) / width, last = o.channels < 0 ? width : o.first + o.channels;
  const auto at = [&](long r, long c) { return static_cast<size_t>(r * width + c); };
  const auto f = [](double z) { return (std::log(1 + z + 1e-10) - std::log(1 - z + 1e-10)) / 2; };
  for (long c = o.first; c < last; ++c) {
    double n = 0, mu = 0, v = 0;
    for (long r = 0; r < rows; ++r)
      if (padded.real(r)) {
        n += 1;
        mu += x[at(r, c)];
        v += x[at(r, c)] * x[at(r, c)];
      }
    mu /= n;
    v /= n;
    const double sd = std::sqrt(std::max(v - mu * mu, 1e-20)), root = std::sqrt(std::max(v, 1e-20)), m = mu / sd;
    const double a = m > 0.8139535143 * f(2 * o.max_positive - 1)   ? 1
                     : m < 0.8139535143 * f(2 * o.min_positive - 1) ? -1
                                                                    : 0;
    const double b = root > 1.25331413732 * o.max_abs ? 1 : root < 1.25331413732 * o.min_abs ? -1 : 0;
    std::vector<double> l(static_cast<size_t>(rows));
    double square = 0;
    for (long r = 0; r < rows; ++r) {
      const double value = x[at(r, c)];
      double& term = l[static_cast<size_t>(r)];
      term = a * (1 - (v - mu * mu > 1e-20 ? m * (value - mu) / sd : 0)) / (n * sd);
      if (v > 1e-20) term += b * value / (n * root * root);
      if (padded.real(r)) square += term * term;
    }
    const double scale = o.scale / std::max(std::sqrt(square / n), 1e-20);
    for (long r = 0; r < rows; ++r) dx[at(r, c)] += std::fabs(dy[at(r, c)]) * scale * l[static_cast<size_t>(r)];
  }
  return dx;
}

/// Channels with means and deviations that lie inside and outside of any range.
std::vector<double> motley(long rows, long width) {
  auto x = normal(Shape<2>{rows, width}, 7).data;
  for (long r = 0; r < rows; ++r)
    for (long c = 0; c < width; ++c) {
      double& v = x[static_cast<size_t>(r * width + c)];
      v = static_cast<float>(v * std::pow(3.0, static_cast<double>(c % 5) - 2) + 0.7 * static_cast<double>(c % 3 - 1));
    }
  return x;
}

double metric_of(const std::vector<double>& x, long width, const WhitenOptions& o, const Padded& padded,
                 std::vector<double>* penalty = nullptr) {
  const long rows = static_cast<long>(x.size()) / width, channels = o.channels < 0 ? width - o.first : o.channels;
  const long part = channels / o.groups;
  const auto at = [&](long r, long c) { return static_cast<size_t>(r * width + o.first + c); };
  std::vector<double> centred(x.size(), 0.0);
  for (long c = 0; c < channels; ++c) {
    double n = 0, mean = 0;
    for (long r = 0; r < rows; ++r)
      if (padded.real(r)) {
        n += 1;
        mean += x[at(r, c)];
      }
    for (long r = 0; r < rows; ++r)
      if (padded.real(r)) centred[at(r, c)] = x[at(r, c)] - mean / n;
  }
  const auto covariance = [&](long c, long d) {
    double total = 0;
    for (long r = 0; r < rows; ++r) total += centred[at(r, c)] * centred[at(r, d)];
    return total;
  };
  double a = 0, b = 0;
  for (long c = 0; c < channels; ++c) {
    a += covariance(c, c) / static_cast<double>(channels);
    for (long d = c / part * part; d < (c / part + 1) * part; ++d)
      b += std::pow(covariance(c, d), 2) / static_cast<double>(channels);
  }
  const double e = a * a + 1e-20;
  if (penalty) {
    penalty->assign(x.size(), 0.0);
    for (long r = 0; r < rows; ++r)
      for (long c = 0; c < channels; ++c) {
        double total = 0;
        for (long d = c / part * part; d < (c / part + 1) * part; ++d) total += centred[at(r, d)] * covariance(d, c);
        (*penalty)[at(r, c)] = 4 / static_cast<double>(channels) * (total / e - centred[at(r, c)] * a * b / (e * e));
      }
  }
  return b / e;
}

}  // namespace

TEST_CASE("a balancer pulls channels back into their ranges", "[rules]") {
  struct Setting {
    long batch, time, width;
    BalanceOptions options;
    std::vector<long> lengths;
  };
  for (const Setting& s :
       std::vector<Setting>{{1, 1, 1, {}, {}},
                            {2, 9, 20, {.min_positive = 0.45, .max_positive = 0.55}, {}},
                            {2, 9, 20, {.min_abs = 0.5, .max_abs = 1, .scale = 0.2}, {5, 9}},
                            {3, 40, 70, {.min_positive = 0.4, .max_positive = 1}, {0, 40, 13}},
                            {2, 30, 150, {.max_positive = 0.5, .first = 37, .channels = 81}, {30, 1}},
                            {2, 9, 20, {.min_positive = 0, .max_positive = 1, .min_abs = 0}, {}}}) {
    INFO(s.batch << "x" << s.time << "x" << s.width << " from " << s.options.first);
    const Shape<3> shape{s.batch, s.time, s.width};
    const auto x = motley(s.batch * s.time, s.width), dy = normal(shape, 8).data;
    const Padded padded{s.time, 1, s.lengths};
    const auto want = balanced(x, dy, s.width, s.options, padded);
    check_rule(
        shape, x, dy,
        [&](const auto& v) {
          return balance(v, s.options, s.lengths.empty() ? Lengths() : lengths_of(v.context(), s.lengths));
        },
        want);
    if (s.options.max_positive < 1 && s.time > 1) CHECK(furthest(want, dy) > 1e-3);  // the rule had something to do
  }
  // Images: the lengths count frames, not rows.
  const Shape<4> image{2, 4, 3, 17};
  const auto x = motley(24, 17), dy = normal(image, 9).data;
  const BalanceOptions options{.min_positive = 0.45, .max_positive = 0.55};
  check_rule(
      image, x, dy,
      [&](const auto& v) {
        return balance(v, options, lengths_of(v.context(), std::vector<long>{4, 2}));
      },
      balanced(x, dy, 17, options, {4, 3, {4, 2}}));
  // Constant channels, where the deviation stands on its floor, and channels of zeros.
  std::vector<double> flat(40, 0.0);
  for (size_t i = 0; i < flat.size(); i += 2) flat[i] = 2;
  check_rule(
      Shape<2>{20, 2}, flat, normal(Shape<2>{20, 2}, 3).data, [](const auto& v) { return balance(v, {}); },
      balanced(flat, normal(Shape<2>{20, 2}, 3).data, 2, {}, {1, 20, {}}));
}

TEST_CASE("moments do not drown in a distant mean", "[rules]") {
  for (const long width : {1L, 16L, 70L}) {
    const long rows = 1000;
    auto x = normal(Shape<2>{rows, width}, 4, 0.01, 30).data;
    double mean = 0, square = 0;
    for (long r = 0; r < rows; ++r) mean += x[static_cast<size_t>(r * width)] / double(rows);
    for (long r = 0; r < rows; ++r) square += std::pow(x[static_cast<size_t>(r * width)] - mean, 2) / double(rows);
    for (const Cpu& cpu : processors()) {
      Context<Cpu> ctx(cpu);
      const auto v = input(ctx, Shape<2>{rows, width}, x);
      std::vector<double> got(static_cast<size_t>(2 * width));
      kernel::column_moments(cpu, v.in(), kernel::RealRows{1, rows, 1, nullptr}, got.data(), got.data() + width);
      CHECK(got[0] == Approx(mean).epsilon(1e-9));
      CHECK(got[static_cast<size_t>(width)] == Approx(square).epsilon(1e-5));
    }
  }
}

TEST_CASE("whitening follows the gradient of its metric", "[rules]") {
  struct Setting {
    long batch, time, width;
    WhitenOptions options;
    std::vector<long> lengths;
  };
  for (const Setting& s :
       std::vector<Setting>{{2, 20, 8, {.limit = 1.5, .scale = 0.05}, {}},
                            {2, 20, 12, {.limit = 1.2, .groups = 3}, {}},
                            {3, 9, 20, {.limit = 1.5, .scale = 0.1}, {9, 0, 4}},
                            {2, 15, 30, {.limit = 1, .groups = 2, .first = 7, .channels = 16}, {15, 6}}}) {
    INFO(s.batch << "x" << s.time << "x" << s.width << " in " << s.options.groups << " groups");
    const Shape<3> shape{s.batch, s.time, s.width};
    const auto x = motley(s.batch * s.time, s.width), dy = normal(shape, 5).data;
    const Padded padded{s.time, 1, s.lengths};
    std::vector<double> penalty;
    const double metric = metric_of(x, s.width, s.options, padded, &penalty);
    const auto rule_with = [&](WhitenOptions options) {
      return [&s, options](const auto& v) {
        return whiten(v, options, s.lengths.empty() ? Lengths() : lengths_of(v.context(), s.lengths));
      };
    };
    Context<Reference64> exact;
    CHECK(whitening_metric(input(exact, shape, x), s.options,
                           s.lengths.empty() ? Lengths() : lengths_of(exact, s.lengths)) ==
          Approx(metric).epsilon(1e-12));
    REQUIRE(metric > s.options.limit);

    // The penalty is the gradient of the metric: along a random direction both agree.
    const auto direction = normal(shape, 6).data;
    const double h = 1e-5;
    auto ahead = x, behind = x;
    double along = 0;
    for (size_t i = 0; i < x.size(); ++i) {
      ahead[i] += h * direction[i];
      behind[i] -= h * direction[i];
      along += penalty[i] * direction[i];
    }
    // The difference quotient is off by about h² and 1e-16 / h.
    CHECK((metric_of(ahead, s.width, s.options, padded) - metric_of(behind, s.width, s.options, padded)) / (2 * h) ==
          Approx(along).epsilon(1e-5));

    double size = 0, penalty_size = 0;
    const long channels = s.options.channels < 0 ? s.width : s.options.channels;
    for (size_t i = 0; i < x.size(); ++i) {
      const long c = static_cast<long>(i) % s.width;
      if (c >= s.options.first && c < s.options.first + channels) size += dy[i] * dy[i];
      penalty_size += penalty[i] * penalty[i];
    }
    auto want = dy;
    for (size_t i = 0; i < x.size(); ++i)
      want[i] += penalty[i] * s.options.scale * std::sqrt(size) / (std::sqrt(penalty_size) + 1e-20);
    check_rule(shape, x, dy, rule_with(s.options), want);

    // Below its limit the gradient is untouched, to the last bit; at it and above it is not. In float the metric is
    // off by some of its last digits.
    WhitenOptions near = s.options;
    near.limit = metric * (1 + 1e-5);
    CHECK(furthest(gradient_behind(Cpu{}, shape, x, dy, rule_with(near)), dy) == 0);
    CHECK(furthest(gradient_behind(Reference64{}, shape, x, dy, rule_with(near)), dy) == 0);
    near.limit = metric * (1 - 1e-5);
    check_rule(shape, x, dy, rule_with(near), want);
  }
  // A constant input has no variance to spread, and no real frame none to look at.
  const Shape<3> shape{2, 5, 4};
  const auto dy = normal(shape, 5).data;
  std::vector<double> constant(dy.size());
  for (size_t i = 0; i < constant.size(); ++i) constant[i] = static_cast<double>(i % 4);
  check_rule(
      shape, constant, dy, [](const auto& v) { return whiten(v, {.limit = 1}); }, dy);
  check_rule(
      shape, dy, dy,
      [](const auto& v) {
        return whiten(v, {.limit = 1}, lengths_of(v.context(), std::vector<long>{0, 0}));
      },
      dy);
  Context<Reference64> ctx;
  CHECK_THROWS_WITH(whiten(ctx.constant(ctx.zeros(Shape<2>{3, 7})), {.groups = 2}),
                    "whiten: 7 channels do not divide into 2 groups");
  CHECK_THROWS_AS(balance(ctx.constant(ctx.zeros(Shape<2>{3, 7})), {.first = 5, .channels = 3}), ShapeError);
}

TEST_CASE("limits turn gradients round, penalties add to them", "[rules]") {
  const Shape<1> shape{6};
  const std::vector<double> x{0.1, 0.1, 0.5, 0.5, 2, 2}, dy{1, -1, 1, -1, 1, -1};
  check_rule(shape, x, dy, [](const auto& v) { return limit_value(v, 0.3, 1); }, {-1, -1, 1, -1, 1, 1});
  check_rule(shape, x, dy, [](const auto& v) { return penalize_large(v, 1, 0.25); }, {1, -1, 1, -1, 1.25, -0.75});
  check_rule(shape, {-2, 0, 1, -1, 9, -9}, dy, [](const auto& v) { return penalize_large(v, 1, 0.25); },
             {0.75, -1, 1, -1, 1.25, -1.25});
  check_rule(shape, x, dy, [](const auto& v) { return scale_gradient(v, 0.5); }, {0.5, -0.5, 0.5, -0.5, 0.5, -0.5});
  // A gradient follows the rule where a parameter is out of its range: descent brings it back.
  Context<Reference64> ctx;
  ctx.train();
  const Param<Reference64, 0> p = make_param(ctx, Shape<0>{}, Init::constant(2));
  const auto gradients =
      ctx.backward(scale_by(limit_value(ctx.lift(p), -1, 1), ctx.constant(ctx.full(Shape<0>{}, -3.0))));
  CHECK(gradients[p].data()[0] == 3);
}

TEST_CASE("large attention scores are penalised", "[rules]") {
  const long batch = 2, heads = 2, query = 3, position = 2;
  for (const long time : {1L, 7L, 150L})  // more than one block of queries
    for (const Padding padding : {Padding::masked, Padding::reference})
      for (const bool with_positions : {true, false}) {
        const std::vector<long> lengths{time, time * 2 / 3};
        const long width = heads * (2 * query + position), rows = 2 * time - 1;
        const auto x = normal(Shape<3>{batch, time, width}, 1).data,
                   r = normal(Shape<2>{rows, heads * position}, 2).data;
        const RelativeAttentionOptions options{
            .heads = heads, .query_width = query, .position_width = position, .padding = padding};
        const double limit = 2, amount = 0.01;
        std::vector<double> dx(x.size(), 1.0), dr(r.size(), 0.0);
        long large = 0;
        for (long n = 0; n < batch; ++n)
          for (long h = 0; h < heads; ++h) {
            const long frames = padding == Padding::masked ? lengths[static_cast<size_t>(n)] : time;
            for (long t = 0; t < frames; ++t)
              for (long s = 0; s < frames; ++s) {
                const auto at = [&](long frame, long c) { return static_cast<size_t>((n * time + frame) * width + c); };
                const auto q = [&](long c) { return at(t, h * query + c); };
                const auto k = [&](long c) { return at(s, heads * query + h * query + c); };
                const auto p = [&](long c) { return at(t, 2 * heads * query + h * position + c); };
                const auto place = [&](long c) {
                  return static_cast<size_t>((time - 1 - t + s) * heads * position + h * position + c);
                };
                double score = 0;
                for (long c = 0; c < query; ++c) score += x[q(c)] * x[k(c)];
                for (long c = 0; c < position && with_positions; ++c) score += x[p(c)] * r[place(c)];
                if (std::fabs(score) <= limit) continue;
                ++large;
                const double g = score > 0 ? amount : -amount;
                for (long c = 0; c < query; ++c) {
                  dx[q(c)] += g * x[k(c)];
                  dx[k(c)] += g * x[q(c)];
                }
                for (long c = 0; c < position && with_positions; ++c) {
                  dx[p(c)] += g * r[place(c)];
                  dr[place(c)] += g * x[p(c)];
                }
              }
          }
        const auto check = [&](auto backend, double tolerance) {
          using B = decltype(backend);
          Context<B> ctx(backend);
          ctx.poison(true);
          ctx.set_recording(true);
          const auto frames = ctx.variable(input(ctx, Shape<3>{batch, time, width}, x).tensor());
          const auto relative = ctx.variable(input(ctx, Shape<2>{rows, heads * position}, r).tensor());
          const auto y = penalize_scores(sequence_of(frames, lengths), with_positions ? relative : Var<B, 2>(), options,
                                         limit, amount);
          CHECK(y.frames.tensor().data() == frames.tensor().data());
          const auto gradients = ctx.backward(sum(y.frames));
          const auto got = values_of(ctx, gradients[frames]);
          CHECK(furthest({got.begin(), got.end()}, dx) < tolerance);
          if (!with_positions || large == 0) return;
          const auto got_r = values_of(ctx, gradients[relative]);
          CHECK(furthest({got_r.begin(), got_r.end()}, dr) < tolerance);
        };
        INFO(time << " frames, " << large << " large scores");
        if (time > 1) CHECK(large > 0);
        check(Reference64{}, 1e-12);
        for (const Cpu& cpu : processors()) check(cpu, 1e-5);  // float sums of up to 150 terms
      }
}

TEST_CASE("even weights spread over what had any", "[rules]") {
  Context<Cpu> ctx;
  ctx.set_recording(true);
  const auto weights =
      ctx.variable(input(ctx, Shape<4>{1, 2, 3, 3},
                         std::vector<double>{0.2, 0.8, 0, 0, 0, 0, 0.5, 0.25, 0.25, 1, 0, 0, 1, 0, 0, 1, 0, 0})
                       .tensor());
  const auto even = even_weights(weights);
  CHECK(even.shape() == Shape<4>{1, 1, 3, 3});
  const float third = 1.0f / 3;
  CHECK((to_vector(even.tensor()) == std::vector<float>{0.5f, 0.5f, 0, 0, 0, 0, third, third, third}));
  CHECK_FALSE(ctx.wants_gradient(even));
}

TEST_CASE("slopes in bytes are right on the average", "[rules]") {
  const long n = 4000;
  const auto check = [&](auto f) {
    Context<Cpu> ctx(Cpu{}, 3);
    ctx.train();
    // One value, many draws.
    for (const double x : {-7.0, -0.3, 1.7, 4.0, 9.0}) {
      const auto value = ctx.variable(ctx.full(Shape<1>{n}, static_cast<float>(x)));
      const auto y = swoosh_in_bytes(value, f);
      CHECK(y.tensor().data()[0] == Approx(f.value(x)).margin(1e-6));
      const auto gradients = ctx.backward(sum(y));
      double mean = 0, worst = 0;
      for (const float g : to_vector(gradients[value])) {
        mean += static_cast<double>(g) / static_cast<double>(n);
        worst = std::max(worst, std::fabs(static_cast<double>(g) - f.slope(x)));
      }
      CHECK(worst < 1.005 / 255);
      CHECK(std::fabs(mean - f.slope(x)) < 4 * 1.005 / 255 / 2 / std::sqrt(static_cast<double>(n)));
    }
    // A recomputation draws the same bytes.
    const auto x = ctx.variable(input(ctx, Shape<1>{50}, normal(Shape<1>{50}, 1, 4).data).tensor());
    const Random before = ctx.random();
    const auto plain = ctx.backward(sum(swoosh_in_bytes(x, f)));
    const Random after = ctx.random();
    ctx.random() = before;
    const auto x2 = ctx.variable(x.tensor());
    const auto again = ctx.backward(sum(recompute(x2, [f](const auto& v) { return swoosh_in_bytes(v, f); })));
    CHECK(ctx.random().used == after.used);
    CHECK((to_vector(plain[x]) == to_vector(again[x2])));
    ctx.infer();
    CHECK(swoosh_in_bytes(ctx.constant(x.tensor()), f).size() == 50);
    CHECK(ctx.random().used == after.used);
  };
  check(formula::SwooshL{});
  check(formula::SwooshR{});
}
