#include "phonaut/metrics/verification.hpp"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "phonaut/core/error.hpp"

namespace phonaut {

RocCurve roc_curve(std::span<const float> scores, std::span<const long> labels) {
  if (scores.size() != labels.size())
    throw ShapeError(concat("roc_curve: there are ", scores.size(), " scores, but ", labels.size(), " labels"));
  const auto same = std::count_if(labels.begin(), labels.end(), [](long l) { return l != 0; });
  const auto different = static_cast<long>(labels.size()) - same;
  if (same == 0 || different == 0)
    throw StateError(concat("roc_curve: needs trials of both kinds, got ", same, " of the same and ", different,
                            " of the different"));
  for (size_t i = 0; i < scores.size(); ++i)
    if (std::isnan(scores[i])) throw NumericalError(concat("roc_curve: score ", i, " is no number"));
  std::vector<size_t> order(scores.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::sort(order.begin(), order.end(), [&](size_t a, size_t b) { return scores[a] > scores[b]; });
  RocCurve curve{{0}, {0}};
  long accepted_same = 0, accepted_different = 0;
  for (size_t i = 0; i < order.size(); ++i) {
    ++(labels[order[i]] != 0 ? accepted_same : accepted_different);
    if (i + 1 < order.size() && scores[order[i + 1]] == scores[order[i]]) continue;
    curve.false_accepts.push_back(static_cast<double>(accepted_different) / static_cast<double>(different));
    curve.true_accepts.push_back(static_cast<double>(accepted_same) / static_cast<double>(same));
  }
  return curve;
}

double equal_error_rate(std::span<const float> scores, std::span<const long> labels) {
  const RocCurve curve = roc_curve(scores, labels);
  // false accepts - false refusals rises from -1 to 1.
  const auto excess = [&](size_t i) { return curve.false_accepts[i] - (1 - curve.true_accepts[i]); };
  size_t i = 1;
  while (excess(i) < 0) ++i;
  const double before = excess(i - 1), share = -before / (excess(i) - before);
  return curve.false_accepts[i - 1] + share * (curve.false_accepts[i] - curve.false_accepts[i - 1]);
}

}  // namespace phonaut
