// Metrics that compare: what must not change them, what they say of the extremes, and what they refuse.
#include <algorithm>
#include <cmath>
#include <limits>

#include "catch.hpp"
#include "phonaut/core/error.hpp"
#include "phonaut/core/random.hpp"
#include "phonaut/metrics/abx.hpp"
#include "phonaut/metrics/clusters.hpp"
#include "phonaut/metrics/mcd.hpp"
#include "phonaut/metrics/similarity.hpp"
#include "phonaut/metrics/verification.hpp"

using namespace phonaut;
using Floats = std::vector<float>;
using List = std::vector<long>;

namespace {

Floats draws(long n, std::uint64_t seed) {
  Floats out;
  const Draws d = Random{seed, 0}.take(n);
  for (long i = 0; i < n; ++i) out.push_back(d.normal(i));
  return out;
}

}  // namespace

TEST_CASE("alignment of sequences takes the cheapest path, whatever its length", "[metrics]") {
  CHECK(aligned_distance(std::vector<double>{3}, 1, 1) == 3);
  // Straight on along the diagonal: 0 + 1, two steps.
  CHECK(aligned_distance(std::vector<double>{0, 9, 9, 1}, 2, 2) == 0.5);
  // Around it: 0 + 0 + 1, three steps.
  CHECK(aligned_distance(std::vector<double>{0, 0, 9, 1}, 2, 2) == Approx(0.5));
  CHECK(aligned_distance(std::vector<double>{2, 0, 9, 1}, 2, 2) == Approx(1.5));
  CHECK_THROWS_AS(aligned_distance({}, 0, 1), ShapeError);
  const Floats a = draws(5 * 4, 1), b = draws(9 * 4, 2);
  CHECK(sequence_distance(a, a, 4) == Approx(0).margin(1e-7));
  CHECK(sequence_distance(a, b, 4) == Approx(sequence_distance(b, a, 4)));
  // Angles do not know of loudness.
  Floats louder = b;
  for (float& v : louder) v *= 7;
  CHECK(sequence_distance(a, louder, 4) == Approx(sequence_distance(a, b, 4)));
  CHECK(angular_distances(Floats{0, 0}, Floats{1, 0}, 2) == std::vector<double>{0.5});
  CHECK_THROWS_WITH(angular_distances(Floats{0, 0, 1}, Floats{1, 0}, 2),
                    "angular_distances: 3 numbers are no whole frames of 2");
}

TEST_CASE("ABX tells kinds that differ from kinds that do not", "[metrics]") {
  std::vector<AbxItem> items;
  for (const char* speaker : {"s", "t"})
    for (int i = 0; i < 3; ++i) {
      items.push_back({{1, 0.01f * static_cast<float>(i)}, "a", "_", speaker});
      items.push_back({{0.01f * static_cast<float>(i), 1}, "b", "_", speaker});
    }
  CHECK(abx_error(items, 2, AbxSpeakers::within) == 0);
  CHECK(abx_error(items, 2, AbxSpeakers::across) == 0);
  auto same = items;
  for (auto& item : same) item.frames = {1, 1};
  CHECK(abx_error(same, 2, AbxSpeakers::within) == 0.5);
  auto wrong = items;
  for (auto& item : wrong)
    if (item.speaker == "t") std::swap(item.frames[0], item.frames[1]);
  CHECK(abx_error(wrong, 2, AbxSpeakers::within) == 0);
  CHECK(abx_error(wrong, 2, AbxSpeakers::across) == 1);
  // Other contexts are not compared, and a lone item is no triple.
  items.resize(2);
  CHECK_THROWS_AS(abx_error(items, 2, AbxSpeakers::within), StateError);
  items[0].frames.clear();
  CHECK_THROWS_AS(abx_error(items, 2, AbxSpeakers::within), ShapeError);
}

TEST_CASE("ABX does not depend on the order of items, nor on that of equally cheap alignments", "[metrics]") {
  // Sequences of unit vectors, as of units: most alignments are as cheap as others.
  for (std::uint64_t seed = 0; seed < 40; ++seed) {
    std::vector<AbxItem> items;
    const Draws random = Random{seed, 0}.take(400);
    long at = 0;
    for (const char* speaker : {"s", "t", "u"})
      for (const char* kind : {"a", "b", "c"})
        for (int i = 0; i < 2; ++i) {
          AbxItem item{{}, kind, "_", speaker};
          for (long t = 2 + random.below(4, at++); t > 0; --t) {
            Floats frame(3, 0.0f);
            frame[static_cast<size_t>(random.below(3, at++))] = 1;
            item.frames.insert(item.frames.end(), frame.begin(), frame.end());
          }
          items.push_back(std::move(item));
        }
    const double within = abx_error(items, 3, AbxSpeakers::within), across = abx_error(items, 3, AbxSpeakers::across);
    // Sums of the same numbers in another order.
    std::reverse(items.begin(), items.end());
    CHECK(abx_error(items, 3, AbxSpeakers::within) == Approx(within).epsilon(1e-12));
    std::rotate(items.begin(), items.begin() + 7, items.end());
    CHECK(abx_error(items, 3, AbxSpeakers::across) == Approx(across).epsilon(1e-12));
  }
}

TEST_CASE("metrics refuse what is no number", "[metrics]") {
  const float none = std::numeric_limits<float>::quiet_NaN(), endless = std::numeric_limits<float>::infinity();
  CHECK_THROWS_WITH(sequence_distance(Floats{1, 2, 3, none}, Floats{1, 2}, 2),
                    "angular_distances: frame 1 has nan at place 1");
  const std::vector<AbxItem> items = {{{1, 0}, "a", "", "s"}, {{1, 0}, "b", "", "s"}, {{none, 0}, "a", "", "s"}};
  CHECK_THROWS_AS(abx_error(items, 2, AbxSpeakers::within), NumericalError);
  CHECK_THROWS_AS(mel_cepstral_distortions(Floats{1, none}, Floats{1, 2}, 2), NumericalError);
  CHECK_THROWS_AS(aligned_mel_cepstral_distortion(Floats{1, 2}, Floats{1, endless}, 2), NumericalError);
  const Floats x = {1, 2, 3, 5}, bad = {1, 2, 3, endless};
  CHECK_THROWS_AS(linear_cka(x, 2, bad, 2), NumericalError);
  CHECK_THROWS_AS(canonical_correlations(bad, 2, x, 2), NumericalError);
  CHECK_THROWS_AS(participation_ratio(bad, 2), NumericalError);
  CHECK_THROWS_AS(alignment(x, bad, 2), NumericalError);
  CHECK_THROWS_AS(uniformity(bad, 2), NumericalError);
}

TEST_CASE("the equal error rate of perfect, useless and reversed scores", "[metrics]") {
  const List labels = {1, 1, 0, 0};
  CHECK(equal_error_rate(Floats{4, 3, 2, 1}, labels) == 0);
  CHECK(equal_error_rate(Floats{1, 1, 1, 1}, labels) == Approx(0.5));
  CHECK(equal_error_rate(Floats{1, 2, 3, 4}, labels) == 1);
  CHECK(equal_error_rate(Floats{4, 2, 3, 1}, labels) == Approx(0.5));
  // Any rising function of the scores has the same rate.
  const Floats scores = draws(60, 3);
  List some;
  Floats other;
  for (size_t i = 0; i < scores.size(); ++i) {
    some.push_back(i % 3 == 0);
    other.push_back(std::exp(scores[i]));
  }
  CHECK(equal_error_rate(scores, some) == equal_error_rate(other, some));
  CHECK_THROWS_AS(equal_error_rate(Floats{1}, labels), ShapeError);
  CHECK_THROWS_AS(equal_error_rate(Floats{1, 2}, List{1, 1}), StateError);
  CHECK_THROWS_AS(equal_error_rate(Floats{1, std::numeric_limits<float>::quiet_NaN()}, List{1, 0}), NumericalError);
}

TEST_CASE("mel-cepstral distortion follows a stretched copy", "[metrics]") {
  const Floats a = draws(6 * 5, 4);
  Floats slow;
  for (long t = 0; t < 6; ++t)
    for (int again = 0; again < 2; ++again) slow.insert(slow.end(), a.begin() + 5 * t, a.begin() + 5 * t + 5);
  CHECK(aligned_mel_cepstral_distortion(a, slow, 5) == 0);
  Floats louder = a;
  for (size_t i = 0; i < louder.size(); i += 5) louder[i] += 3;
  CHECK(aligned_mel_cepstral_distortion(a, louder, 5) == 0);
  CHECK(mel_cepstral_distortions(a, louder, 5, {.skip_first = false})[0] ==
        Approx(10 / std::log(10.0) * std::sqrt(18.0)));
  CHECK_THROWS_AS(mel_cepstral_distortions(a, slow, 5), ShapeError);
  CHECK_THROWS_AS(aligned_mel_cepstral_distortion(a, {}, 5), ShapeError);
}

TEST_CASE("cluster quality does not depend on names", "[metrics]") {
  const List labels = {0, 0, 1, 1, 2, 2}, perfect = {7, 7, -1, -1, 3, 3}, fine = {0, 1, 2, 3, 4, 5};
  const auto best = cluster_quality(perfect, labels);
  CHECK(best.pnmi == Approx(1));
  CHECK(best.v_measure == Approx(1));
  CHECK(best.label_purity == Approx(1));
  CHECK(best.unit_perplexity == Approx(3));
  const auto many = cluster_quality(fine, labels);
  CHECK(many.pnmi == Approx(1));
  CHECK(many.completeness == Approx(std::log(3.0) / std::log(6.0)));
  CHECK(many.unit_purity == Approx(0.5));
  CHECK(cluster_quality(List{5, 5, 5, 5, 5, 5}, labels).pnmi == Approx(0).margin(1e-12));
  CHECK(cluster_quality(List{1}, List{1}).v_measure == 1);
  CHECK_THROWS_AS(cluster_quality(List{}, List{}), ShapeError);
  CHECK_THROWS_AS(cluster_quality(List{1}, List{1, 2}), ShapeError);
}

TEST_CASE("similarity does not see rotations, scales and shifts", "[metrics]") {
  const Floats x = draws(40 * 2, 5), y = draws(40 * 3, 6);
  Floats turned;
  for (size_t i = 0; i < x.size(); i += 2) {
    turned.push_back(3 * (0.6f * x[i] - 0.8f * x[i + 1]) + 10);
    turned.push_back(3 * (0.8f * x[i] + 0.6f * x[i + 1]) - 5);
  }
  CHECK(linear_cka(x, 2, x, 2) == Approx(1));
  CHECK(linear_cka(x, 2, turned, 2) == Approx(1).epsilon(1e-5));
  CHECK(linear_cka(x, 2, y, 3) < 0.3);
  CHECK(linear_cka(x, 2, y, 3) == Approx(linear_cka(y, 3, x, 2)));
  const auto same = canonical_correlations(x, 2, turned, 2), other = canonical_correlations(x, 2, y, 3);
  CHECK(same.values.size() == 2);
  CHECK(same.weighted == Approx(1).epsilon(1e-5));
  CHECK(other.values.size() == 2);
  CHECK(other.mean < 0.7);
  // Without variance there is nothing to compare.
  CHECK(linear_cka(Floats(80, 1.0f), 2, y, 3) == 0);
  CHECK(canonical_correlations(Floats(80, 1.0f), 2, y, 3).values.empty());
  CHECK(participation_ratio(Floats{1, 0, -1, 0, 0, 1, 0, -1}, 2) == Approx(2));
  CHECK(participation_ratio(Floats{1, 0, -1, 0}, 2) == Approx(1));
  CHECK(alignment(x, x, 2) == Approx(0).margin(1e-12));
  CHECK(uniformity(Floats{1, 0, -1, 0}, 2) == Approx(-8));
  CHECK_THROWS_AS(linear_cka(x, 2, draws(9, 1), 3), ShapeError);
  CHECK_THROWS_AS(uniformity(Floats{1, 0}, 2), ShapeError);
  CHECK_THROWS_AS(alignment(Floats{}, Floats{}, 2), ShapeError);
}
