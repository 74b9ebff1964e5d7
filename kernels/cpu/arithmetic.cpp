#include "elementwise.hpp"

#ifdef PHONAUT_ISA
namespace phonaut::kernel::PHONAUT_ISA {

void axpby(const Cpu& cpu, float a, View<const float, 1> x, float b, View<const float, 1> z, float* y, bool add) {
  const Vec va(a), vb(b);
  for_each_register(
      cpu, x.size(),
      [&](long i) PHONAUT_FORCE_INLINE { put(y + i, fma(va, Vec::load(x.data + i), vb * Vec::load(z.data + i)), add); },
      [&](long i, long n) PHONAUT_FORCE_INLINE {
        put(y + i, fma(va, Vec::load(x.data + i, n), vb * Vec::load(z.data + i, n)), add, n);
      });
}

void scale(const Cpu& cpu, float a, View<const float, 1> x, float* y, bool add) {
  const Vec va(a);
  for_each_register(
      cpu, x.size(), [&](long i) PHONAUT_FORCE_INLINE { put(y + i, va * Vec::load(x.data + i), add); },
      [&](long i, long n) PHONAUT_FORCE_INLINE { put(y + i, va * Vec::load(x.data + i, n), add, n); });
}

void multiply(const Cpu& cpu, View<const float, 1> x, View<const float, 1> z, float* y, bool add) {
  for_each_register(
      cpu, x.size(),
      [&](long i) PHONAUT_FORCE_INLINE { put(y + i, Vec::load(x.data + i) * Vec::load(z.data + i), add); },
      [&](long i, long n)
          PHONAUT_FORCE_INLINE { put(y + i, Vec::load(x.data + i, n) * Vec::load(z.data + i, n), add, n); });
}

// Short runs of floats in the lanes, long sums in double: a run adds at most 64 numbers to each lane, so that its
// rounding stays below 64 half-ulps of the run, whatever the length of the array.
void sum(const Cpu&, View<const float, 1> x, float* y) {
  constexpr long run = 64 * Vec::lanes;
  double total = 0;
  for (long begin = 0; begin < x.size(); begin += run) {
    const long end = begin + run < x.size() ? begin + run : x.size();
    Vec part(0.0f);
    long i = begin;
    for (; i + Vec::lanes <= end; i += Vec::lanes) part += Vec::load(x.data + i);
    if (i < end) part += Vec::load(x.data + i, end - i);
    total += static_cast<double>(sum(part));
  }
  *y = static_cast<float>(total);
}

}  // namespace phonaut::kernel::PHONAUT_ISA
#else
#include "phonaut/ops/arithmetic.hpp"
#endif

PHONAUT_DISPATCH(axpby,
                 (const Cpu& cpu, float a, View<const float, 1> x, float b, View<const float, 1> z, float* y, bool add),
                 (cpu, a, x, b, z, y, add))
PHONAUT_DISPATCH(scale, (const Cpu& cpu, float a, View<const float, 1> x, float* y, bool add), (cpu, a, x, y, add))
PHONAUT_DISPATCH(multiply, (const Cpu& cpu, View<const float, 1> x, View<const float, 1> z, float* y, bool add),
                 (cpu, x, z, y, add))
PHONAUT_DISPATCH(sum, (const Cpu& cpu, View<const float, 1> x, float* y), (cpu, x, y))
