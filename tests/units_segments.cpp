// Segments of frames: borders where the frames change, the best of all cuts, and nothing lost.
#include <algorithm>
#include <cmath>
#include <functional>

#include "catch.hpp"
#include "phonaut/core/error.hpp"
#include "phonaut/core/random.hpp"
#include "phonaut/units/segments.hpp"

using namespace phonaut;

namespace {

/// Frames that stay near one centre for each of these lengths; centres stand at right angles as far as there are axes.
std::vector<float> steps(const std::vector<long>& lengths, long dim, double noise, std::uint64_t seed) {
  const Draws draws = Random{seed, 0}.take(100000);
  std::vector<float> x;
  long at = 0, step = 0;
  for (const long length : lengths) {
    std::vector<double> centre;
    for (long i = 0; i < dim; ++i) centre.push_back((i == step % dim ? 8 : 0) + draws.normal(at++));
    ++step;
    for (long t = 0; t < length; ++t)
      for (const double c : centre) x.push_back(static_cast<float>(c + noise * draws.normal(at++)));
  }
  return x;
}
std::vector<Segment> behind_each_other(const std::vector<long>& lengths) {
  std::vector<Segment> all;
  long at = 0;
  for (const long length : lengths) all.push_back({at, at + length}), at += length;
  return all;
}
/// The cost of a segmentation, by its definition.
double cost_of(const std::vector<float>& x, long dim, const std::vector<Segment>& segments) {
  const long count = static_cast<long>(x.size()) / dim;
  std::vector<std::vector<double>> w(static_cast<size_t>(count), std::vector<double>(static_cast<size_t>(count)));
  double least = 1e300;
  for (size_t a = 0; a < w.size(); ++a)
    for (size_t b = 0; b < w.size(); ++b) {
      for (size_t i = 0; i < static_cast<size_t>(dim); ++i)
        w[a][b] += static_cast<double>(x[a * static_cast<size_t>(dim) + i]) *
                   static_cast<double>(x[b * static_cast<size_t>(dim) + i]);
      least = std::min(least, w[a][b]);
    }
  double total = 0;
  for (const Segment& s : segments) {
    double inside = 0, out = 0;
    for (long a = 0; a < count; ++a)
      for (long b = 0; b < count; ++b) {
        const bool in_a = a >= s.begin && a < s.end, in_b = b >= s.begin && b < s.end;
        const double v = w[static_cast<size_t>(a)][static_cast<size_t>(b)] - least + 1e-7;
        if (in_a && in_b) inside += v;
        else if (in_a || in_b) out += v;
      }
    total += out / (out + inside + 1e-5);
  }
  return total;
}

}  // namespace

TEST_CASE("segments end where frames change", "[units]") {
  const std::vector<long> lengths = {8, 5, 12, 9, 7, 11, 6};
  const auto want = behind_each_other(lengths);
  const auto x = steps(lengths, 16, 0.3, 1);
  CHECK(min_cut_segments(x, 16, {.segments = 7}) == want);
  CHECK(min_cut_segments(x, 16, {.segments = 11, .merge = 0.8}) == want);  // too many pieces are joined again
  CHECK(similar_runs(x, 16) == want);
  // Silence belongs to no run.
  auto y = x;
  std::fill(y.begin() + 8L * 16, y.begin() + 13L * 16, 0.01f);
  auto heard = want;
  heard.erase(heard.begin() + 1);
  CHECK(similar_runs(y, 16) == heard);
}

TEST_CASE("no other cuts cost less", "[units]") {
  for (const std::uint64_t seed : {1, 2, 3, 4}) {
    const long count = 13, dim = 3;
    const auto x = steps(std::vector<long>(13, 1), dim, 0, seed);
    for (const long pieces : {1L, 2L, 3L, 4L}) {
      const MinCut options{.segments = pieces, .shortest = 2, .longest = 13};
      double least = 1e300;
      std::function<void(std::vector<Segment>)> all = [&](const std::vector<Segment>& before) {
        const long at = before.empty() ? 0 : before.back().end;
        if (static_cast<long>(before.size()) == pieces) {
          if (at == count) least = std::min(least, cost_of(x, dim, before));
          return;
        }
        for (long end = at + 2; end <= count; ++end) {
          auto next = before;
          next.push_back({at, end});
          all(next);
        }
      };
      all({});
      const auto found = min_cut_segments(x, dim, options);
      REQUIRE(static_cast<long>(found.size()) == pieces);
      CHECK(cost_of(x, dim, found) == Approx(least).epsilon(1e-9));
    }
  }
}

TEST_CASE("segments cover all frames and keep their limits", "[units]") {
  for (long count = 0; count < 130; ++count) {
    const auto x = steps(std::vector<long>(static_cast<size_t>(count), 1), 2, 0, static_cast<std::uint64_t>(count) + 1);
    const auto found = min_cut_segments(x, 2, {.frames_each = 7, .shortest = 3, .longest = 20});
    long at = 0;
    for (const Segment& s : found) {
      CHECK(s.begin == at);
      CHECK((count < 3 || (s.end - s.begin >= 3 && s.end - s.begin <= 20)));
      at = s.end;
    }
    CHECK(at == count);
    if (count >= 3) CHECK(static_cast<long>(found.size()) == std::min((count + 6) / 7, count / 3));
    at = 0;
    for (const Segment& s : similar_runs(x, 2, {.least_norm = 1})) {
      CHECK((s.begin >= at && s.end > s.begin && s.end <= count));
      at = s.end;
    }
  }
}

TEST_CASE("means of segments are those of their frames", "[units]") {
  const std::vector<float> x = {1, 2, 3, 4, 5, 6};
  const std::vector<Segment> parts = {{0, 1}, {1, 3}};
  CHECK(segment_means(x, 2, parts) == std::vector<float>{1, 2, 4, 5});
  for (const Segment& wrong : {Segment{0, 4}, Segment{-1, 2}, Segment{2, 2}})
    CHECK_THROWS_AS(segment_means(x, 2, std::span(&wrong, 1)), ShapeError);
}

TEST_CASE("segmentation refuses what it cannot cut", "[units]") {
  std::vector<float> x(40, 1.0f);
  CHECK(min_cut_segments(x, 2, {.frames_each = 5}).size() == 4);  // all alike: any cut is as good
  CHECK_THROWS_AS(min_cut_segments(x, 3), ShapeError);
  CHECK_THROWS_AS(min_cut_segments(x, 0), ShapeError);
  CHECK_THROWS_AS(min_cut_segments(x, 2, {.segments = 7}), ConfigError);
  CHECK_THROWS_AS(min_cut_segments(x, 2, {.segments = 1, .longest = 10}), ConfigError);
  CHECK_THROWS_AS(min_cut_segments(x, 2, {.shortest = 0}), ConfigError);
  CHECK_THROWS_AS(min_cut_segments(x, 2, {.frames_each = 0}), ConfigError);
  CHECK_THROWS_AS(similar_runs(x, 7), ShapeError);
  x[5] = std::nanf("");
  CHECK_THROWS_AS(min_cut_segments(x, 2), NumericalError);
  CHECK_THROWS_AS(similar_runs(x, 2), NumericalError);
}
