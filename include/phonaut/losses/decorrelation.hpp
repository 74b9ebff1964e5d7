#pragma once
// Losses that keep two views together and their channels apart: VICReg and Barlow Twins.
#include "phonaut/core/full_precision.hpp"
#include "phonaut/losses/over_ranks.hpp"
#include "phonaut/losses/regression.hpp"
#include "phonaut/ops/activations.hpp"
#include "phonaut/ops/broadcast.hpp"
#include "phonaut/ops/centre_columns.hpp"
#include "phonaut/ops/diagonal.hpp"
#include "phonaut/ops/formula/elementary.hpp"
#include "phonaut/ops/formula/hinge.hpp"
#include "phonaut/ops/group_norm.hpp"
#include "phonaut/ops/linear.hpp"
#include "phonaut/ops/map.hpp"

namespace phonaut {

namespace detail {

/// xᵀ y / count: (N, C), (N, D) -> (C, D).
template <class B>
Var<B, 2> cross_products(const Var<B, 2>& x, const Var<B, 2>& y, long count) {
  const FullPrecision full(x.context());
  return typename B::Scalar(1.0 / static_cast<double>(std::max(1L, count))) *
         linear(permute(x, {1, 0}), permute(y, {1, 0}));
}
/// x (rows, C) minus its mean over the rows of all ranks, which is a constant: of the products of centred columns the
/// mean has no gradient.
template <class B>
Var<B, 2> centre_over_ranks(const Var<B, 2>& x) {
  const auto mean = mean_over_ranks(column_mean(x), static_cast<double>(x.extent(0)));
  return add_channels(x, Weight<B, 1>(x.context().detach(-mean)));
}
/// Σ of the squares of what is off the diagonal.
template <class B>
Var<B, 0> off_diagonal_energy(const Var<B, 2>& x) {
  return sum(map(with_diagonal(x, 0), formula::Square{}));
}

}  // namespace detail

struct VicregOptions {
  double invariance = 25, variance = 25, covariance = 1;  ///< weights
  double target_deviation = 1;                            ///< γ
  double epsilon = 1e-4;                                  ///< inside of the root
};

/// The three terms of VICReg, not yet weighted, and their weighted sum.
template <class B>
struct VicregTerms {
  Var<B, 0> loss, invariance, variance, covariance;
};

/// VICReg of two views (N, D): mean (x - y)²; half the sum over views of mean_d relu(γ - √(Var_d + ε)); the sum over
/// views of Σ_{i≠j} Cov_ij² / D. Variance and covariance divide by N - 1. A. Bardes et al., "VICReg:
/// Variance-Invariance-Covariance Regularization for Self-Supervised Learning", 2022. With ranks that train together N
/// counts the rows of all. Throws ShapeError if the shapes differ.
template <class B>
VicregTerms<B> vicreg_terms(const Var<B, 2>& x, const Var<B, 2>& y, const VicregOptions& options = {}) {
  using S = typename B::Scalar;
  check_same_shape("vicreg", "x", x.shape(), "y", y.shape());
  const double dims = static_cast<double>(std::max(1L, x.extent(1)));
  const auto& ranks = x.context().batch_ranks();
  const auto own = static_cast<double>(x.extent(0));
  const long rows = std::lround(ranks.all_reduce(own));
  const auto spread = [&](const Var<B, 2>& view) {
    const Var<B, 2> centred = ranks.alone() ? centre_columns(view) : detail::centre_over_ranks(view);
    const Var<B, 2> covariance = sum_over_ranks(detail::cross_products(centred, centred, rows - 1));
    const formula::DeviationHinge hinge{static_cast<float>(options.target_deviation),
                                        static_cast<float>(options.epsilon)};
    return std::pair{mean(map(diagonal(covariance), hinge)), S(1 / dims) * detail::off_diagonal_energy(covariance)};
  };
  const auto [variance_x, covariance_x] = spread(x);
  const auto [variance_y, covariance_y] = spread(y);
  VicregTerms<B> terms;
  terms.invariance = mean_over_ranks(mse_loss(x, y), own);
  terms.variance = S(0.5) * (variance_x + variance_y);
  terms.covariance = covariance_x + covariance_y;
  terms.loss = S(options.invariance) * terms.invariance + S(options.variance) * terms.variance +
               S(options.covariance) * terms.covariance;
  return terms;
}
template <class B>
Var<B, 0> vicreg_loss(const Var<B, 2>& x, const Var<B, 2>& y, const VicregOptions& options = {}) {
  return vicreg_terms(x, y, options).loss;
}

/// Cross-correlation of two views (N, D) -> (D, D): columns at zero mean and unit (biased) variance, products, mean
/// over N. With ranks that train together N counts the rows of all.
template <class B>
Var<B, 2> cross_correlation(const Var<B, 2>& x, const Var<B, 2>& y, double epsilon = 1e-5) {
  check_same_shape("cross_correlation", "x", x.shape(), "y", y.shape());
  if (const auto& ranks = x.context().batch_ranks(); !ranks.alone()) {
    // The same numbers in another order: ranks add up products, and columns are divided by their deviations afterwards.
    using S = typename B::Scalar;
    const double rows = std::max(1.0, ranks.all_reduce(static_cast<double>(x.extent(0))));
    const Var<B, 2> a = detail::centre_over_ranks(x), b = detail::centre_over_ranks(y);
    const auto inverse_deviation = [&](const Var<B, 2>& centred) {
      const Var<B, 1> variance =
          S(1 / rows) * sum_over_ranks(sum_last(map(permute(centred, {1, 0}), formula::Square{})));
      return map(map(variance + x.context().constant(x.context().full(variance.shape(), S(epsilon))), formula::Sqrt{}),
                 formula::Reciprocal{});
    };
    const Var<B, 2> products = sum_over_ranks(detail::cross_products(a, b, std::lround(rows)));
    const Var<B, 2> by_y = scale_channels(products, Weight<B, 1>(inverse_deviation(b)));
    return permute(scale_channels(permute(by_y, {1, 0}), Weight<B, 1>(inverse_deviation(a))), {1, 0});
  }
  const auto normed = [&](const Var<B, 2>& view) {
    const Sequence<B> rows{reshape(view, Shape<3>{1, view.extent(0), view.extent(1)}), {}, 0};
    return reshape(group_norm(rows, view.extent(1), {}, {}, epsilon).frames, view.shape());
  };
  return detail::cross_products(normed(x), normed(y), x.extent(0));
}

/// Barlow Twins: with the cross-correlation C, Σ_i (C_ii - 1)² + weight Σ_{i≠j} C_ij². J. Zbontar et al., "Barlow
/// Twins: Self-Supervised Learning via Redundancy Reduction", 2021.
template <class B>
Var<B, 0> barlow_loss(const Var<B, 2>& correlation, double weight = 0.0051) {
  return sum(map(diagonal(correlation), formula::SquaredFromOne{})) +
         typename B::Scalar(weight) * detail::off_diagonal_energy(correlation);
}
template <class B>
Var<B, 0> barlow_loss(const Var<B, 2>& x, const Var<B, 2>& y, double weight = 0.0051, double epsilon = 1e-5) {
  return barlow_loss(cross_correlation(x, y, epsilon), weight);
}

}  // namespace phonaut
