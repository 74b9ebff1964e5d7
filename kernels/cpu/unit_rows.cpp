#include "parallel.hpp"
#include "partial.hpp"

#ifdef PHONAUT_ISA
namespace phonaut::kernel::PHONAUT_ISA {

void unit_rows_forward(const Cpu& cpu, double least, View<const float, 2> x, View<float, 2> y, float* inverse) {
  parallel_rows(cpu.threads, x.shape[0], x.shape[1], [&](long first, long last) {
    for (long r = first; r < last; ++r) {
      const float* from = x.row(r);
      float* to = y.row(r);
      const double square = row_total(x.shape[1], [&](Vec part, long i, long n) PHONAUT_FORCE_INLINE {
        const Vec v = load_some(from + i, n);
        return fma(v, v, part);
      });
      const bool short_row = !(square > least * least);
      inverse[r] = static_cast<float>(1 / (short_row ? least : __builtin_sqrt(square)));
      const Vec factor(inverse[r]);
      each_register(x.shape[1], [&](long i, long n)
                                    PHONAUT_FORCE_INLINE { store_some(load_some(from + i, n) * factor, to + i, n); });
    }
  });
}

void unit_rows_backward(const Cpu& cpu, double least, View<const float, 2> dy, View<const float, 2> y,
                        const float* inverse, Sink<float, 2> dx) {
  const float longest = static_cast<float>(1 / least);
  parallel_rows(cpu.threads, y.shape[0], y.shape[1], [&](long first, long last) {
    for (long r = first; r < last; ++r) {
      const float *g = dy.row(r), *unit = y.row(r);
      float* to = dx.row(r);
      double along = 0;
      if (inverse[r] < longest)
        along = row_total(y.shape[1], [&](Vec part, long i, long n) PHONAUT_FORCE_INLINE {
          return fma(load_some(g + i, n), load_some(unit + i, n), part);
        });
      const Vec part(static_cast<float>(along)), factor(inverse[r]);
      each_register(y.shape[1], [&](long i, long n) PHONAUT_FORCE_INLINE {
        put_some(to + i, fnma(part, load_some(unit + i, n), load_some(g + i, n)) * factor, dx.add, n);
      });
    }
  });
}

}  // namespace phonaut::kernel::PHONAUT_ISA
#else
#include "phonaut/ops/unit_rows.hpp"
#endif

PHONAUT_DISPATCH(unit_rows_forward,
                 (const Cpu& cpu, double least, View<const float, 2> x, View<float, 2> y, float* inverse),
                 (cpu, least, x, y, inverse))
PHONAUT_DISPATCH(unit_rows_backward,
                 (const Cpu& cpu, double least, View<const float, 2> dy, View<const float, 2> y, const float* inverse,
                  Sink<float, 2> dx),
                 (cpu, least, dy, y, inverse, dx))
