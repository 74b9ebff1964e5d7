#pragma once
// How well scores tell the same from the different: receiver operating characteristic and equal error rate.
#include <span>
#include <vector>

namespace phonaut {

/// One point for each threshold, from "accept nothing" to "accept all"; accepted is what scores at least the threshold.
struct RocCurve {
  std::vector<double> false_accepts;  ///< share of the different that is accepted
  std::vector<double> true_accepts;   ///< share of the same that is accepted
};

/// Scores, and labels that say which are of the same (nonzero). Equal scores share a threshold. Throws ShapeError for
/// another number of labels, StateError without trials of both kinds, NumericalError for a score that is no number.
RocCurve roc_curve(std::span<const float> scores, std::span<const long> labels);

/// The rate at which as many of the different are accepted as of the same are refused, linear between the points of the
/// curve: 0 for a perfect score, 1/2 for one that knows nothing. Throws as `roc_curve`.
double equal_error_rate(std::span<const float> scores, std::span<const long> labels);

}  // namespace phonaut
