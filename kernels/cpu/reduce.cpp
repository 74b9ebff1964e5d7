#include "rows.hpp"

#ifdef PHONAUT_ISA
namespace phonaut::kernel::PHONAUT_ISA {

void row_sum(const Cpu& cpu, float a, View<const float, 2> x, float* y) {
  parallel_rows(cpu.threads, x.shape[0], x.shape[1], [&](long first, long last) {
    for (long r = first; r < last; ++r)
      y[r] = a * sum_along(x.shape[1], [&](long i, auto n) PHONAUT_FORCE_INLINE { return load(x.row(r) + i, n); });
  });
}

void row_spread(const Cpu& cpu, float a, const float* x, Sink<float, 2> y) {
  parallel_rows(cpu.threads, y.shape[0], y.shape[1], [&](long first, long last) {
    for (long r = first; r < last; ++r) {
      const Vec v(a * x[r]);
      along(y.shape[1], [&](long i, auto n) PHONAUT_FORCE_INLINE { put(y.row(r) + i, v, y.add, n); });
    }
  });
}

}  // namespace phonaut::kernel::PHONAUT_ISA
#else
#include "phonaut/ops/reduce.hpp"
#endif

PHONAUT_DISPATCH(row_sum, (const Cpu& cpu, float a, View<const float, 2> x, float* y), (cpu, a, x, y))
PHONAUT_DISPATCH(row_spread, (const Cpu& cpu, float a, const float* x, Sink<float, 2> y), (cpu, a, x, y))
