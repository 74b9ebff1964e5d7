#pragma once
// Attention without preferences: an average over what may be seen.
#include "phonaut/ops/shape.hpp"
#include "phonaut/ops/wide.hpp"

namespace phonaut {

namespace kernel {

/// y[n, 0, t, s] = 1 / (number of positive weights of the row) where x[n, 0, t, s] is positive, else 0.
template <class S>
void even_weights(const Reference&, View<const S, 4> x, View<S, 4> y) {
  for (long n = 0; n < y.shape[0]; ++n)
    for (long t = 0; t < y.shape[2]; ++t) {
      const S* from = x.data + n * x.stride[0] + t * x.stride[2];
      S* to = y.data + n * y.stride[0] + t * y.stride[2];
      const long seen = std::count_if(from, from + y.shape[3], [](S w) { return w > S(0); });
      const S share = seen > 0 ? S(1.0 / static_cast<double>(seen)) : S(0);
      for (long s = 0; s < y.shape[3]; ++s) to[s] = from[s] > S(0) ? share : S(0);
    }
}

void even_weights(const Cuda& cuda, View<const float, 4> x, View<float, 4> y);

}  // namespace kernel

/// Weights (N, 1, T, S) that are the same for all keys that the first head of `weights` (N, H, T, S) gives any to; a
/// row without such keys stays 0. No gradient goes back.
template <class B>
Var<B, 4> even_weights(const Var<B, 4>& weights) {
  auto& ctx = weights.context();
  auto y = ctx.empty(Shape<4>{weights.extent(0), 1, weights.extent(2), weights.extent(3)});
  kernel::even_weights(ctx.backend(), weights.in(), y.out());
  return ctx.constant(std::move(y));
}

}  // namespace phonaut
