#pragma once
// Tensors of draws from N(0, 1), the same on every backend up to the rounding of the logarithm and the sine.
#include "phonaut/core/context.hpp"

namespace phonaut {

namespace kernel {

/// y[i] = draw i of N(0, 1).
template <class S>
void random_normal(const Reference&, Draws draws, long n, S* y) {
  for (long i = 0; i < n; ++i) y[i] = S(static_cast<float>(draws.normal(i)));
}
void random_normal(const Cpu& cpu, Draws draws, long n, float* y);
void random_normal(const Cuda& cuda, Draws draws, long n, float* y);

}  // namespace kernel

/// A tensor of draws from N(0, 1): element i (row-major) is draw i.
template <class B, size_t R>
Tensor<B, R> random_normal(Context<B>& ctx, const Shape<R>& shape, Draws draws) {
  auto y = ctx.empty(shape);
  kernel::random_normal(ctx.backend(), draws, y.size(), y.data());
  return y;
}

}  // namespace phonaut
