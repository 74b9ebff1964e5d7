#include "phonaut/training/formula/product_sum.hpp"

#include "parallel.hpp"

#ifdef PHONAUT_ISA
namespace phonaut::kernel::PHONAUT_ISA {

constexpr long product_parts = 32;

PHONAUT_INLINE double folded(double* part) {
  for (long half = product_parts / 2; half > 0; half /= 2)
    for (long j = 0; j < half; ++j) part[j] += part[j + half];
  return part[0];
}

/// Plain loops over a fixed number of partial sums, which compilers turn into registers of doubles. Without fused
/// multiply-adds the products would round no differently: they are exact.
PHONAUT_INLINE void product_sum(const StretchPair<float>& pair, ProductSums& total) {
  double xx[product_parts] = {}, xz[product_parts] = {}, zz[product_parts] = {};
  const auto add = [&](long i, long j) PHONAUT_FORCE_INLINE {
    const double x = static_cast<double>(pair.x[i + j]), z = static_cast<double>(pair.z[i + j]);
    xx[j] += x * x;
    xz[j] += x * z;
    zz[j] += z * z;
  };
  long i = 0;
  for (; i + product_parts <= pair.n; i += product_parts)
    for (long j = 0; j < product_parts; ++j) add(i, j);
  for (long j = 0; i + j < pair.n; ++j) add(i, j);
  total.xx = folded(xx);
  total.xz = folded(xz);
  total.zz = folded(zz);
}

void product_sums(const Cpu& cpu, View<const StretchPair<float>, 1> pairs, ProductSums* totals) {
  parallel_for(cpu.threads, pairs.size(), [&](long k) { product_sum(pairs.data[k], totals[k]); });
}

}  // namespace phonaut::kernel::PHONAUT_ISA
#endif

PHONAUT_DISPATCH(product_sums, (const Cpu& cpu, View<const StretchPair<float>, 1> pairs, ProductSums* totals),
                 (cpu, pairs, totals))
