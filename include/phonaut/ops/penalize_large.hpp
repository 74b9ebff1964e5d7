#pragma once
// A penalty on values that grow too large, as a gradient alone.
#include "phonaut/ops/shape.hpp"

namespace phonaut {

namespace kernel {

/// dx = dy + penalty · sign(x) where |x| > limit, dy elsewhere.
template <class S>
void penalize_large_backward(const Reference&, View<const S, 1> dy, View<const S, 1> x, S limit, S penalty,
                             Sink<S, 1> dx) {
  for (long i = 0; i < x.size(); ++i) {
    const S extra = x.data[i] > limit ? penalty : x.data[i] < -limit ? -penalty : S(0);
    dx.put(i, dy.data[i] + extra);
  }
}

void penalize_large_backward(const Cuda& cuda, View<const float, 1> dy, View<const float, 1> x, float limit,
                             float penalty, Sink<float, 1> dx);

}  // namespace kernel

/// x itself, the same memory; backward adds the gradient of penalty · Σ max(0, |x| - limit), which does not show in
/// the loss (`penalize_abs_values_gt` of the Zipformer recipe). It does not grow or shrink with the loss.
template <class B, size_t R>
Var<B, R> penalize_large(const Var<B, R>& any, double limit, double penalty) {
  const Var<B, R> x = packed(any);
  return record(
      x.tensor(),
      [x, limit, penalty](Context<B>& c, const Tensor<B, R>& dy) {
        using S = typename B::Scalar;
        if (auto dx = c.sink(x))
          kernel::penalize_large_backward(c.backend(), View<const S, 1>(dy.data(), {dy.size()}),
                                          View<const S, 1>(x.tensor().data(), {x.size()}), S(limit), S(penalty),
                                          Sink<S, 1>(dx.data, {dx.size()}, dx.add));
      },
      x);
}

}  // namespace phonaut
