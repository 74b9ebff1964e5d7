#pragma once
// A value whose gradient is made larger or smaller on its way back.
#include "phonaut/ops/arithmetic.hpp"

namespace phonaut {

/// x itself, the same memory; backward hands on `factor` times the gradient. Slows or speeds up the learning of
/// everything in front of it.
template <class B, size_t R>
Var<B, R> scale_gradient(const Var<B, R>& x, double factor) {
  return record(
      x.tensor(),
      [x = target(x), factor](Context<B>& c, const Tensor<B, R>& dy) {
        if (auto dx = c.sink(x))
          kernel::scale(c.backend(), typename B::Scalar(factor), detail::flat(dy), dx.data, dx.add);
      },
      x);
}

}  // namespace phonaut
