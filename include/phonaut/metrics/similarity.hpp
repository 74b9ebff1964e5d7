#pragma once
// How alike two representations of the same things are, whatever their axes. A number that is not finite is refused by
// NumericalError everywhere here.
#include <span>
#include <vector>

namespace phonaut {

/// Linear centred kernel alignment of x (n, dim_x) and y (n, dim_y): |Ycᵀ Xc|² / (|Xcᵀ Xc| |Ycᵀ Yc|) with Frobenius
/// norms; 1 where one is a rotation and scaling of the other. S. Kornblith et al., "Similarity of Neural Network
/// Representations Revisited", 2019. 0 where one of them does not vary. Throws ShapeError if the rows are not whole or
/// differ in number.
double linear_cka(std::span<const float> x, long dim_x, std::span<const float> y, long dim_y);

/// Canonical correlations, greatest first, and their means.
struct CanonicalCorrelations {
  std::vector<double> values;  ///< as many as the smaller rank
  double mean = 0;
  double weighted = 0;  ///< PWCCA: each by how much of x lies along its direction
};
/// Of x (n, dim_x) and y (n, dim_y), about their means. A. Morcos et al., "Insights on representational similarity in
/// neural networks with canonical correlation", 2018. Throws as `linear_cka`.
CanonicalCorrelations canonical_correlations(std::span<const float> x, long dim_x, std::span<const float> y,
                                             long dim_y);

/// (Σ λ)² / Σ λ² of the eigenvalues of the covariance of rows (n, dim): how many directions share the variance; 0
/// without any. Throws ShapeError if the rows are not whole.
double participation_ratio(std::span<const float> rows, long dim);

/// Mean |x - y|^power of pairs (n, dim) brought to unit length: 0 if both always agree. T. Wang and P. Isola,
/// "Understanding Contrastive Representation Learning through Alignment and Uniformity", 2020. Throws ShapeError if
/// there are no pairs or they are not whole.
double alignment(std::span<const float> x, std::span<const float> y, long dim, double power = 2);
/// log mean e^(-t |x_i - x_j|²) over the pairs i < j of rows brought to unit length: the lower, the more evenly they
/// lie on the sphere. Throws ShapeError for fewer than two rows.
double uniformity(std::span<const float> rows, long dim, double t = 2);

}  // namespace phonaut
