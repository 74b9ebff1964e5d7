#pragma once
// Matrix product, the one kernel under linear maps, convolutions and attention. Light: per-ISA kernel files include it.
#include "phonaut/core/backend.hpp"
#include "phonaut/core/view.hpp"
#include "phonaut/ops/product_activation.hpp"

namespace phonaut::kernel {

/// c[i, j] (= or +=) Σ_p a[i, p] b[p, j] + bias[j], then f of that, for each matrix of a batch. Strides in elements; of
/// each pair of strides one is 1. Rows of `a` may overlap, which makes a strided convolution over channels-last frames
/// a product.
template <class S>
struct Gemm {
  long m = 0, n = 0, k = 0;
  const S* a = nullptr;
  long a_row = 0, a_col = 1;  ///< a[i, p] = a[i * a_row + p * a_col]
  const S* b = nullptr;
  long b_row = 0, b_col = 1;  ///< b[p, j] = b[p * b_row + j * b_col]
  S* c = nullptr;
  long c_row = 0;  ///< c[i, j] = c[i * c_row + j]
  bool add = false;
  const S* bias = nullptr;  ///< (n), or null
  long batch = 1;
  long a_batch = 0, b_batch = 0, c_batch = 0;
  Activation activation = Activation::none;  ///< f
};

template <class S>
void gemm(const Reference&, const Gemm<S>& g) {
  for (long q = 0; q < g.batch; ++q)
    for (long i = 0; i < g.m; ++i)
      for (long j = 0; j < g.n; ++j) {
        S total = g.bias ? g.bias[j] : S(0);
        const S* a = g.a + q * g.a_batch + i * g.a_row;
        const S* b = g.b + q * g.b_batch + j * g.b_col;
        for (long p = 0; p < g.k; ++p) total += a[p * g.a_col] * b[p * g.b_row];
        S& c = g.c[q * g.c_batch + i * g.c_row + j];
        c = g.add ? c + total : total;
        with_formula(g.activation, [&c](auto f) { c = f.value(c); });
      }
}
void gemm(const Cpu& cpu, const Gemm<float>& g);
void gemm(const Cuda& cuda, const Gemm<float>& g);

}  // namespace phonaut::kernel
