// SIGReg beyond its formula: what it expects of a Gaussian, what it makes of collapse, padding, threads, steps.
#include <cmath>
#include <limits>

#include "catch.hpp"
#include "phonaut/losses/sigreg.hpp"
#include "phonaut/testing/gradient_check.hpp"

using namespace phonaut;
using phonaut::testing::normal;

namespace {

Var<Cpu, 2> gaussian(Context<Cpu>& ctx, const Shape<2>& shape, std::uint64_t seed) {
  return input(ctx, shape, normal(shape, seed).data);
}

}  // namespace

TEST_CASE("the Epps-Pulley statistic of a Gaussian sample has the same mean for every size", "[losses]") {
  CHECK(EppsPulley{}.expectation() == Approx(1.0525).margin(5e-5));
  Context<Cpu> ctx;
  for (const long samples : {2L, 16L, 200L}) {
    // 4000 statistics of independent samples; one statistic spreads by about its mean.
    double total = 0;
    const long draws = 250, slices = 16;
    for (long i = 0; i < draws; ++i) {
      ctx.set_step(i);
      // One dimension per slice, each sample drawn apart: independent statistics.
      const auto x = gaussian(ctx, {samples, slices}, 1000 + static_cast<std::uint64_t>(i));
      std::vector<double> identity(static_cast<size_t>(slices * slices), 0);
      for (long d = 0; d < slices; ++d) identity[static_cast<size_t>(d * (slices + 1))] = 1;
      total += static_cast<double>(item(sigreg(x, input(ctx, Shape<2>{slices, slices}, identity).tensor())));
    }
    INFO(samples << " samples");
    // Standard error 1.05 / sqrt(4000) = 0.017; three of them.
    CHECK(total / static_cast<double>(draws) == Approx(EppsPulley{}.expectation()).margin(0.05));
  }
}

TEST_CASE("collapse to zero costs 0.4020 for each sample", "[losses]") {
  Context<Cpu> ctx;
  for (const long samples : {1L, 64L, 777L}) {
    const auto x = ctx.constant(ctx.zeros(Shape<2>{samples, 8}));
    CHECK(static_cast<double>(item(sigreg(x, random_slices(ctx, 8, 32)))) / static_cast<double>(samples) ==
          Approx(0.4020).margin(5e-5));
  }
}

TEST_CASE("slices are unit vectors that follow from seed and step alone", "[losses]") {
  Context<Cpu> a({}, 7), b({}, 7), other({}, 8);
  b.random().take(12345);  // whatever else was drawn before
  for (Context<Cpu>* ctx : {&a, &b, &other}) ctx->set_step(41);
  const auto slices = to_vector(random_slices(a, 30, 70));
  CHECK(slices == to_vector(random_slices(b, 30, 70)));
  CHECK(slices != to_vector(random_slices(other, 30, 70)));
  a.set_step(42);
  CHECK(slices != to_vector(random_slices(a, 30, 70)));
  for (long m = 0; m < 70; ++m) {
    double square = 0;
    for (long d = 0; d < 30; ++d) square += std::pow(static_cast<double>(slices[static_cast<size_t>(d * 70 + m)]), 2);
    CHECK(square == Approx(1).epsilon(1e-6));
  }
  // The reference draws the same directions, up to the rounding of logarithm and sine.
  Context<Reference> reference({}, 7);
  reference.set_step(41);
  const auto want = to_vector(random_slices(reference, 30, 70));
  for (size_t i = 0; i < want.size(); ++i) CHECK(std::fabs(slices[i] - want[i]) < 2e-6f);
}

TEST_CASE("columns of zeros stay zero", "[losses]") {
  Context<Cpu> ctx;
  for (const float value : to_vector(unit_slices(ctx, ctx.zeros(Shape<2>{5, 3})))) CHECK(value == 0);
}

TEST_CASE("a padded batch has the SIGReg of its frames, whatever the padding holds", "[losses]") {
  const float nan = std::numeric_limits<float>::quiet_NaN();
  Context<Cpu> ctx;
  ctx.train();
  const long time = 6, channels = 5;
  const std::vector<long> lengths{6, 0, 2};
  const auto values = normal(Shape<3>{3, time, channels}, 3).data;
  std::vector<double> padded = values, rows;
  for (long n = 0; n < 3; ++n)
    for (long t = 0; t < time; ++t)
      for (long c = 0; c < channels; ++c) {
        const size_t at = static_cast<size_t>((n * time + t) * channels + c);
        if (t < lengths[static_cast<size_t>(n)]) rows.push_back(values[at]);
        else padded[at] = static_cast<double>(nan);
      }
  const auto x = ctx.variable(input(ctx, Shape<3>{3, time, channels}, padded).tensor());
  const auto dense = ctx.variable(input(ctx, Shape<2>{8, channels}, rows).tensor());
  const auto loss = sigreg(Sequence<Cpu>{x, lengths_of(ctx, lengths), 50}, {.slices = 12});
  const auto want = sigreg(dense, random_slices(ctx, channels, 12));
  CHECK(item(loss) == item(want));
  const auto gradients = ctx.backward(loss + want);
  const auto dx = to_vector(gradients[x]), drows = to_vector(gradients[dense]);
  size_t row = 0;
  for (long i = 0; i < 3 * time; ++i) {
    const bool real = i % time < lengths[static_cast<size_t>(i / time)];
    for (long c = 0; c < channels; ++c)
      CHECK(dx[static_cast<size_t>(i * channels + c)] == (real ? drows[row * 5 + static_cast<size_t>(c)] : 0));
    row += real;
  }
}

TEST_CASE("SIGReg is the same on one thread and on two", "[losses][threads]") {
  std::vector<std::vector<float>> results;
  for (const int threads : {1, 2}) {
    Context<Cpu> ctx;
    ctx.threads(threads);
    ctx.train();
    const auto x = ctx.variable(gaussian(ctx, {333, 24}, 5).tensor());
    const auto loss = sigreg(x, random_slices(ctx, 24, 200));
    auto result = std::vector<float>{item(loss)};
    const auto dx = to_vector(ctx.backward(loss)[x]);
    result.insert(result.end(), dx.begin(), dx.end());
    results.push_back(result);
  }
  CHECK(results[0] == results[1]);
}

TEST_CASE("SIGReg refuses what does not fit", "[losses]") {
  Context<Cpu> ctx;
  const auto x = gaussian(ctx, {4, 3}, 1);
  CHECK_THROWS_WITH(sigreg(x, random_slices(ctx, 5, 7)),
                    "sigreg: input of shape (4, 3) has 3 channels, but slices (5, 7) needs 5");
  CHECK_THROWS_AS(sigreg(x, random_slices(ctx, 3, 7), {.test = {.knots = 1}}), ConfigError);
  CHECK_THROWS_AS(sigreg(x, random_slices(ctx, 3, 7), {.test = {.knots = 129}}), ConfigError);
  CHECK_THROWS_AS(sigreg(x, random_slices(ctx, 3, 7), {.test = {.t_max = 0}}), ConfigError);
  CHECK(item(sigreg(gaussian(ctx, {0, 3}, 1), random_slices(ctx, 3, 7))) == 0);
}
