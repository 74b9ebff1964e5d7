#pragma once
// L1, L2 and smooth L1 between values, means over all elements or over the real frames of a batch.
#include "phonaut/ops/formula/distance.hpp"
#include "phonaut/ops/frames.hpp"
#include "phonaut/ops/pair.hpp"

namespace phonaut {

/// Mean |x - y|; 0 of no elements. Throws ShapeError if the shapes differ, as do its siblings below.
template <class B, size_t R>
Var<B, 0> l1_loss(const Var<B, R>& x, const Var<B, R>& y) {
  return detail::pair_sum("l1_loss", formula::Distance{}, detail::inverse(x.size()), x, y);
}
/// Mean (x - y)².
template <class B, size_t R>
Var<B, 0> mse_loss(const Var<B, R>& x, const Var<B, R>& y) {
  return detail::pair_sum("mse_loss", formula::SquaredDistance{}, detail::inverse(x.size()), x, y);
}
/// Mean of (x - y)² / 2β below |x - y| = β and |x - y| - β/2 above it. Throws ConfigError unless β > 0.
template <class B, size_t R>
Var<B, 0> smooth_l1_loss(const Var<B, R>& x, const Var<B, R>& y, double beta = 1) {
  if (!(beta > 0)) throw ConfigError(concat("smooth_l1_loss: beta must be positive, got ", beta));
  return detail::pair_sum("smooth_l1_loss", formula::SmoothDistance{static_cast<float>(beta)},
                          detail::inverse(x.size()), x, y);
}

/// Mean |x - y| over the real frames, by the lengths of x, and their channels.
template <class B>
Var<B, 0> l1_loss(const Sequence<B>& x, const Sequence<B>& y) {
  const auto [a, b] = detail::both_valid("l1_loss", x, y);
  return l1_loss(a, b);
}
/// Mean (x - y)² over the real frames, by the lengths of x, and their channels.
template <class B>
Var<B, 0> mse_loss(const Sequence<B>& x, const Sequence<B>& y) {
  const auto [a, b] = detail::both_valid("mse_loss", x, y);
  return mse_loss(a, b);
}
/// Smooth L1 over the real frames, by the lengths of x, and their channels.
template <class B>
Var<B, 0> smooth_l1_loss(const Sequence<B>& x, const Sequence<B>& y, double beta = 1) {
  const auto [a, b] = detail::both_valid("smooth_l1_loss", x, y);
  return smooth_l1_loss(a, b, beta);
}

}  // namespace phonaut
