// Spectrum, effective rank, normality, probes: against values that can be worked out by hand.
#include "catch.hpp"
#include "phonaut/core/error.hpp"
#include "phonaut/core/random.hpp"
#include "phonaut/metrics/probe.hpp"
#include "phonaut/metrics/spectrum.hpp"

using namespace phonaut;

namespace {

std::vector<float> gaussian(long n, std::uint64_t seed) {
  std::vector<float> values(static_cast<size_t>(n));
  const Draws draws = Random{seed, 0}.take(n);
  for (long i = 0; i < n; ++i) values[static_cast<size_t>(i)] = static_cast<float>(draws.normal(i));
  return values;
}

}  // namespace

TEST_CASE("eigenvalues of a matrix that can be solved by hand", "[metrics]") {
  const auto values = symmetric_eigenvalues(std::vector<double>{2, 1, 1, 2}, 2);
  CHECK(values[0] == Approx(3));
  CHECK(values[1] == Approx(1));
  CHECK_THROWS_AS(symmetric_eigenvalues(std::vector<double>{1, 2, 3}, 2), ShapeError);
}

TEST_CASE("the spectrum of a stretched cloud shows the stretch", "[metrics]") {
  auto x = gaussian(3 * 20000, 1);
  for (size_t i = 0; i < x.size(); i += 3) x[i] *= 4;
  const auto spectrum = covariance_spectrum(x, 3);
  // Standard error of a variance over 20000 draws is 1 %.
  CHECK(spectrum[0] == Approx(16).epsilon(0.05));
  CHECK(spectrum[2] == Approx(1).epsilon(0.05));
  CHECK(covariance_spectrum(std::vector<float>{1, 2, 3}, 3) == std::vector<double>{0, 0, 0});
}

TEST_CASE("effective rank counts directions", "[metrics]") {
  // Orthogonal rows of equal length use all directions alike; the 1e-7 inside the entropy adds a few 1e-7.
  CHECK(effective_rank(std::vector<float>{2, 0, 0, 0, 2, 0, 0, 0, 2}, 3) == Approx(3).epsilon(1e-5));
  CHECK(effective_rank(std::vector<float>{1, 1, 2, 2, -3, -3}, 2) == Approx(1).epsilon(1e-4));
  CHECK(effective_rank(std::vector<float>{1, 0, 2, 0, -3, 0}, 2, 0) == 1);  // 0 log 0 = 0
  CHECK(effective_rank({}, 4) == 0);
  CHECK(effective_rank(std::vector<float>(8, 0.f), 4) == 0);
}

TEST_CASE("normality tells a normal from a uniform distribution", "[metrics]") {
  const auto x = gaussian(40000, 3);
  const auto normal = normality(x, 2);
  CHECK(normal.deviation == Approx(1).epsilon(0.03));
  CHECK(normal.excess_kurtosis < 0.15);  // standard error √(24 / 20000) = 0.035
  std::vector<float> uniform(40000);
  const Draws draws = Random{4, 0}.take(40000);
  for (long i = 0; i < 40000; ++i) uniform[static_cast<size_t>(i)] = draws.uniform(i);
  CHECK(normality(uniform, 2).excess_kurtosis == Approx(1.2).epsilon(0.05));
}

TEST_CASE("a linear probe finds a linear boundary, chance where there is none", "[metrics]") {
  const long n = 600, dim = 5;
  const auto x = gaussian(2 * n * dim, 5);
  std::vector<std::int32_t> told(static_cast<size_t>(2 * n)), noise(told.size());
  const Draws draws = Random{6, 0}.take(2 * n);
  for (long i = 0; i < 2 * n; ++i) {
    const float* row = x.data() + i * dim;
    told[static_cast<size_t>(i)] = row[0] - 2 * row[1] > 0.3f ? 2 : row[2] > 0 ? 1 : 0;
    noise[static_cast<size_t>(i)] = static_cast<std::int32_t>(draws.below(3, i));
  }
  const auto half = [&](const std::vector<std::int32_t>& classes, long part) {
    return Labelled{std::span(x).subspan(static_cast<size_t>(part * n * dim), static_cast<size_t>(n * dim)),
                    std::span(classes).subspan(static_cast<size_t>(part * n), static_cast<size_t>(n))};
  };
  const auto found = linear_probe(half(told, 0), half(told, 1), dim);
  CHECK(found.test > 0.9);
  CHECK(linear_probe(half(noise, 0), half(noise, 1), dim).test < 0.45);
  CHECK(nearest_neighbour_accuracy(half(told, 0), half(told, 0), dim, 1) == 1.0);  // everyone is his own neighbour
  CHECK(nearest_neighbour_accuracy(half(told, 0), half(told, 1), dim) > 0.65);
  std::vector<std::int32_t> hidden(told);
  std::fill(hidden.begin(), hidden.end(), -1);
  CHECK(linear_probe(half(hidden, 0), half(told, 1), dim).test == 0);
  CHECK_THROWS_AS(linear_probe(half(told, 0), {x, told}, 4), ShapeError);
}
