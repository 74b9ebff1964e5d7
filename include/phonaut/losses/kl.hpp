#pragma once
// The divergence of a diagonal Gaussian from N(0, I), and samples of that Gaussian: the bottleneck of a variational
// autoencoder. D. P. Kingma and M. Welling, "Auto-Encoding Variational Bayes", 2014; beta: I. Higgins et al., 2017;
// free bits: D. P. Kingma et al., "Improved Variational Inference with Inverse Autoregressive Flow", 2016.
#include "phonaut/ops/arithmetic.hpp"
#include "phonaut/ops/formula/kl.hpp"
#include "phonaut/ops/frames.hpp"
#include "phonaut/ops/map.hpp"
#include "phonaut/ops/pair.hpp"
#include "phonaut/ops/random_normal.hpp"

namespace phonaut {

/// What the second parameter of a Gaussian is.
struct Spread {
  enum class Kind {
    log_variance,  ///< s: σ = exp(s / 2)
    softplus       ///< r: σ = softplus(r) + least
  } kind = Kind::log_variance;
  double least = 0;

  static Spread log_variance() { return {}; }
  static Spread softplus(double least = 1e-4) { return {Kind::softplus, least}; }
};

struct KlOptions {
  Spread spread = {};
  double beta = 1;
  double free_bits = 0;  ///< floor λ, in nats
  enum class Floor {
    none,
    element,   ///< max(λ, e) for each element, before the sum over dimensions
    dimension  ///< each dimension is averaged over frames, floored, then summed
  } floor = Floor::none;

  /// Stable Audio's variational autoencoder: μ² + σ² - log σ² - 1 without the half, σ = softplus(r) + 1e-4.
  static KlOptions stable_audio() { return {.spread = Spread::softplus(1e-4), .beta = 2}; }
};

/// KL(N(μ, σ²) || N(0, I)) = Σ_d (μ² + σ² - 1)/2 - log σ, mean over frames: mean and spread are (frames, D). With log
/// variance s it is (μ² + exp s - 1 - s)/2, by expm1. The gradient is zero below the floor of free bits, whole on it.
/// No frames: 0 (or beta·λ·D with a floor per dimension). Throws ShapeError if the shapes differ.
template <class B>
Var<B, 0> kl_loss(const Var<B, 2>& mean, const Var<B, 2>& spread, const KlOptions& options = {}) {
  const double per_frame = detail::inverse(mean.extent(0));
  const float least = static_cast<float>(options.spread.least), floor = static_cast<float>(options.free_bits);
  const auto reduce = [&](auto formula) -> Var<B, 0> {
    using F = decltype(formula);
    switch (options.floor) {
      case KlOptions::Floor::element:
        return detail::pair_sum("kl_loss", formula::WithFloor<F>{formula, floor}, options.beta * per_frame, mean,
                                spread);
      case KlOptions::Floor::dimension:
        return typename B::Scalar(options.beta) *
               sum(map(detail::pair_columns("kl_loss", formula, per_frame, mean, spread), formula::AtLeast{floor}));
      case KlOptions::Floor::none:
        break;
    }
    return detail::pair_sum("kl_loss", formula, options.beta * per_frame, mean, spread);
  };
  if (options.spread.kind == Spread::Kind::softplus) return reduce(formula::KlOfSoftplus{least});
  return reduce(formula::KlOfLogVariance{});
}

/// The same over the real frames of a batch.
template <class B>
Var<B, 0> kl_loss(const Sequence<B>& mean, const Sequence<B>& spread, const KlOptions& options = {}) {
  const auto [m, s] = detail::both_valid("kl_loss", mean, spread);
  return kl_loss(m, s, options);
}

/// σ, from whatever `spread` stands for.
template <class B, size_t R>
Var<B, R> deviation(const Var<B, R>& spread, const Spread& meaning = {}) {
  if (meaning.kind == Spread::Kind::softplus)
    return map(spread, formula::DeviationOfSoftplus{static_cast<float>(meaning.least)});
  return map(spread, formula::DeviationOfLogVariance{});
}

/// z = μ + σ ε with given ε: a sample whose gradient reaches mean and spread.
template <class B, size_t R>
Var<B, R> reparameterise(const Var<B, R>& mean, const Var<B, R>& spread, const Var<B, R>& noise,
                         const Spread& meaning = {}) {
  return mean + deviation(spread, meaning) * noise;
}

/// z = μ + σ ε with ε ~ N(0, I) drawn from the context, whether it trains or not: take the mean where no noise is
/// wanted.
template <class B, size_t R>
Var<B, R> sample_gaussian(const Var<B, R>& mean, const Var<B, R>& spread, const Spread& meaning = {}) {
  auto& ctx = mean.context();
  const Var<B, R> noise = ctx.constant(random_normal(ctx, mean.shape(), ctx.random().take(mean.size())));
  return reparameterise(mean, spread, noise, meaning);
}

}  // namespace phonaut
