#pragma once
// The shape of a cloud of embeddings: how its variance spreads over directions, and how many of them it uses.
#include <span>
#include <vector>

namespace phonaut {

/// Eigenvalues of a symmetric matrix (dim, dim), greatest first. Throws ShapeError if the size is not a square.
std::vector<double> symmetric_eigenvalues(std::span<const double> matrix, long dim);

/// Eigenvalues of the covariance of n rows (n, dim), with 1/(n - 1), greatest first; zeros for fewer than two rows.
/// Throws ShapeError if the rows are not whole.
std::vector<double> covariance_spectrum(std::span<const float> rows, long dim);

/// RankMe (Garrido et al., "RankMe: assessing the downstream performance of pretrained self-supervised representations
/// by their rank", 2023): exp of the entropy of the singular values of the uncentred rows (n, dim), each divided by
/// their sum, plus eps. Between 1 and dim; 0 of no rows. Throws ShapeError if the rows are not whole.
double effective_rank(std::span<const float> rows, long dim, double eps = 1e-7);

/// How far each dimension is from a normal distribution; means over dimensions.
struct Normality {
  double mean = 0;             ///< of |mean|
  double deviation = 0;        ///< of the standard deviation
  double skewness = 0;         ///< of |skewness|, 0 for a normal distribution
  double excess_kurtosis = 0;  ///< of |kurtosis - 3|, 0 for a normal distribution
};
/// Moments of n rows (n, dim); dimensions without variance count with skewness and kurtosis 0.
Normality normality(std::span<const float> rows, long dim);

}  // namespace phonaut
