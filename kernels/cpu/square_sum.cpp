#include "phonaut/training/formula/square_sum.hpp"

#include "parallel.hpp"

#ifdef PHONAUT_ISA
namespace phonaut::kernel::PHONAUT_ISA {

/// Plain loops over a fixed number of partial sums, which compilers turn into registers of doubles.
PHONAUT_INLINE double square_sum(const float* x, long n) {
  constexpr long parts = 32;
  double part[parts] = {};
  long i = 0;
  for (; i + parts <= n; i += parts)
    for (long j = 0; j < parts; ++j) {
      const double value = static_cast<double>(x[i + j]);
      part[j] += value * value;
    }
  for (long j = 0; i + j < n; ++j) {
    const double value = static_cast<double>(x[i + j]);
    part[j] += value * value;
  }
  for (long half = parts / 2; half > 0; half /= 2)
    for (long j = 0; j < half; ++j) part[j] += part[j + half];
  return part[0];
}

void square_sums(const Cpu& cpu, View<const Stretch<float>, 1> stretches, double* totals) {
  parallel_for(cpu.threads, stretches.size(),
               [&](long k) { totals[k] = square_sum(stretches.data[k].data, stretches.data[k].n); });
}

}  // namespace phonaut::kernel::PHONAUT_ISA
#endif

PHONAUT_DISPATCH(square_sums, (const Cpu& cpu, View<const Stretch<float>, 1> stretches, double* totals),
                 (cpu, stretches, totals))
