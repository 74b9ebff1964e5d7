#pragma once
// What follows a product where the library that computed it did not do that itself: a bias and an activation.
#include "cuda.cuh"
#include "phonaut/ops/product_activation.hpp"

namespace phonaut::cuda {

/// No activation.
struct Same {
  template <class S>
  PHONAUT_HD PHONAUT_INLINE S value(S x) const {
    return x;
  }
};
/// Calls run(formula) with that of `activation`, or with Same.
template <class Run>
void with_any(kernel::Activation activation, const Run& run) {
  if (activation == kernel::Activation::none) run(Same{});
  else kernel::with_formula(activation, run);
}

/// c = f(c + bias), for the c of a product; a null bias is none.
template <class F>
void finish(const Cuda& cuda, const kernel::Gemm<float>& product, const float* bias, F f) {
  const kernel::Gemm<float> g = product;
  for_each_at(cuda, "the end of a matrix product", g.batch * g.m, g.n, [=] __device__(long r, long c) {
    float& to = g.c[r / g.m * g.c_batch + r % g.m * g.c_row + c];
    to = f.value(to + (bias ? bias[c] : 0.f));
  });
}
inline void finish(const Cuda& cuda, const kernel::Gemm<float>& product, const float* bias,
                   kernel::Activation activation) {
  with_any(activation, [&](auto f) { finish(cuda, product, bias, f); });
}

}  // namespace phonaut::cuda
