#include "rows.hpp"

#ifdef PHONAUT_ISA
namespace phonaut::kernel::PHONAUT_ISA {

void balance_backward(const Cpu& cpu, View<const float, 2> dy, View<const float, 2> x, const float* offset,
                      const float* slope, Sink<float, 2> dx) {
  const long width = x.shape[1];
  parallel_rows(cpu.threads, x.shape[0], width, [&](long first, long last) {
    for (long r = first; r < last; ++r)
      along(width, [&](long c, auto n) PHONAUT_FORCE_INLINE {
        const Vec g = load(dy.row(r) + c, n);
        const Vec term = fma(load(slope + c, n), load(x.row(r) + c, n), load(offset + c, n));
        put(dx.row(r) + c, fma(abs(g), term, g), dx.add, n);
      });
  });
}

}  // namespace phonaut::kernel::PHONAUT_ISA
#else
#include "phonaut/ops/balance.hpp"
#endif

PHONAUT_DISPATCH(balance_backward,
                 (const Cpu& cpu, View<const float, 2> dy, View<const float, 2> x, const float* offset,
                  const float* slope, Sink<float, 2> dx),
                 (cpu, dy, x, offset, slope, dx))
