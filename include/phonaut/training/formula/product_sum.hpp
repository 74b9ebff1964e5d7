#pragma once
// Sums of products of many pairs of arrays at once. Light: the per-instruction-set kernel files include it.
#include "phonaut/core/backend.hpp"
#include "phonaut/core/view.hpp"

namespace phonaut {
namespace kernel {

/// Part of a parameter and of its gradient.
template <class S>
struct StretchPair {
  const S* x = nullptr;
  const S* z = nullptr;
  long n = 0;
};
/// What `product_sums` finds of one pair.
struct ProductSums {
  double xx, xz, zz;
};

/// totals[k] = Σ x², Σ x z, Σ z² over pair k, in double and in the order of `square_sums` (square_sum.hpp), which gives
/// the same bits on every instruction set: a product of two floats is exact in double. The pairs lie on the host,
/// `totals` in the backend's memory.
template <class S>
void product_sums(const Reference&, View<const StretchPair<S>, 1> pairs, ProductSums* totals) {
  for (long k = 0; k < pairs.size(); ++k) {
    const StretchPair<S>& pair = pairs.data[k];
    double part[3][32] = {};
    for (long i = 0; i < pair.n; ++i) {
      const double x = static_cast<double>(pair.x[i]), z = static_cast<double>(pair.z[i]);
      part[0][i % 32] += x * x;
      part[1][i % 32] += x * z;
      part[2][i % 32] += z * z;
    }
    for (auto& sums : part)
      for (int half = 16; half > 0; half /= 2)
        for (int j = 0; j < half; ++j) sums[j] += sums[j + half];
    totals[k] = {part[0][0], part[1][0], part[2][0]};
  }
}
void product_sums(const Cpu& cpu, View<const StretchPair<float>, 1> pairs, ProductSums* totals);
void product_sums(const Cuda& cuda, View<const StretchPair<float>, 1> pairs, ProductSums* totals);

}  // namespace kernel
}  // namespace phonaut
