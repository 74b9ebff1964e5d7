#pragma once
// The distance between a codebook and the vectors that it quantizes, as distributions: a regulariser that pulls every
// entry to where vectors are. T.-L. Vuong et al., "Vector Quantized Wasserstein Auto-Encoder" (VQ-WAE), 2023.
#include <cmath>
#include <vector>

#include "phonaut/core/full_precision.hpp"
#include "phonaut/losses/over_ranks.hpp"
#include "phonaut/ops/broadcast.hpp"
#include "phonaut/ops/centre_columns.hpp"
#include "phonaut/ops/formula/elementary.hpp"
#include "phonaut/ops/linear.hpp"
#include "phonaut/ops/log_softmax.hpp"
#include "phonaut/ops/map.hpp"
#include "phonaut/ops/reduce.hpp"
#include "phonaut/quantizers/codes.hpp"

namespace phonaut {

struct WassersteinCodesOptions {
  double smoothing = 0.1;  ///< ε of the entropic transport; small is closer to Wasserstein's distance, and slower
  long iterations = 50;    ///< of the fixed point for the potentials
};

namespace detail {

/// (φ_k + ε log π_k - |z_n - c_k|² + |z_n|²) / ε: (rows, K). The last term is the same for all k.
template <class B>
Var<B, 2> transport_scores(const Var<B, 2>& z, const Var<B, 2>& c, const Var<B, 1>& potential, const Var<B, 1>& log_pi,
                           double epsilon) {
  using S = typename B::Scalar;
  const FullPrecision full(z.context());
  const Var<B, 1> shift = S(1 / epsilon) * (potential - sum_last(map(c, formula::Square{}))) + log_pi;
  return add_channels(S(2 / epsilon) * linear(z, c), shift);
}

}  // namespace detail

/// Smoothed squared Wasserstein distance between the rows z (rows, D), equally weighted, and the codebook (K, D) with
/// weights softmax(log_weights) (K), or equal ones if absent, by its semi-dual form
///   max over φ of Σ_k π_k φ_k - ε mean_n log Σ_k π_k exp((φ_k - |z_n - c_k|²) / ε).
/// The potentials φ come from a fixed point and are constants of the gradient, which at the maximum is exact. Gradients
/// reach z, the codebook and the weights: the last is what lets entries of rare sounds stay rare. 0 of no rows. In
/// training the rows are those of all ranks. Throws ConfigError unless ε is positive, ShapeError if dimensions differ.
template <class B>
Var<B, 0> wasserstein_codes(const Var<B, 2>& own, Weight<B, 2> codebook, Weight<B, 1> log_weights = {},
                            const WassersteinCodesOptions& options = {}) {
  using S = typename B::Scalar;
  if (!(options.smoothing > 0))
    throw ConfigError(concat("wasserstein_codes: the smoothing must be positive, got ", options.smoothing));
  check_channels("wasserstein_codes", own.shape(), codebook.extent(1), "the codebook ", codebook.shape());
  const Var<B, 2> z = gather_over_ranks(own);
  auto& ctx = z.context();
  const long rows = z.extent(0), entries = codebook.extent(0);
  if (rows == 0) return ctx.constant(ctx.zeros(Shape<0>{}));
  const Var<B, 2> c = whole_on_each_rank(ctx.lift(codebook));
  const Var<B, 1> log_pi = log_weights
                               ? log_softmax(whole_on_each_rank(ctx.lift(log_weights)))
                               : ctx.constant(ctx.full(Shape<1>{entries}, S(-std::log(static_cast<double>(entries)))));
  if (log_pi.extent(0) != entries)
    throw ShapeError(
        concat("wasserstein_codes: ", log_pi.extent(0), " weights do not fit the codebook ", text(codebook.shape())));
  Var<B, 1> potential = ctx.constant(ctx.zeros(Shape<1>{entries}));
  {
    const Unrecorded<B> unrecorded(ctx);
    const Var<B, 2> points = ctx.detach(z), centers = ctx.detach(c);
    const Var<B, 1> weights = ctx.detach(log_pi);
    // An entry gets mass m_k = mean_n p_nk and should get π_k: φ_k rises by ε log(π_k / m_k).
    for (long i = 0; i < options.iterations; ++i) {
      const auto log_p = log_softmax(detail::transport_scores(points, centers, potential, weights, options.smoothing));
      const auto log_mass = map(column_mean(map(log_p, formula::Exp{})), formula::LogAbove{1e-30f});
      potential = potential + S(options.smoothing) * (weights - log_mass);
    }
  }
  const Var<B, 2> scores = detail::transport_scores(z, c, ctx.detach(potential), log_pi, options.smoothing);
  // log Σ exp is a score minus its log-softmax, whichever score: their mean over k.
  const Var<B, 1> normaliser = mean_last(scores - log_softmax(scores));
  const Var<B, 1> lengths = sum_last(map(z, formula::Square{}));
  return sum(map(log_pi, formula::Exp{}) * ctx.detach(potential)) + mean(lengths) -
         S(options.smoothing) * mean(normaliser);
}

}  // namespace phonaut
