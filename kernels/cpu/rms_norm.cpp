#include "phonaut/ops/row_blocks.hpp"
#include "rows.hpp"

#ifdef PHONAUT_ISA
#include <math.h>
namespace phonaut::kernel::PHONAUT_ISA {

void rms_norm_forward(const Cpu& cpu, View<const float, 2> x, const float* gain, double epsilon, View<float, 2> y,
                      View<float, 1> rstd) {
  const long width = x.shape[1];
  const float per_element = 1.0f / static_cast<float>(width);
  parallel_rows(cpu.threads, x.shape[0], width, [&](long first, long last) {
    for (long r = first; r < last; ++r) {
      const float* from = x.row(r);
      const float square = per_element * sum_along(width, [&](long i, auto n) PHONAUT_FORCE_INLINE {
                             const Vec v = load(from + i, n);
                             return v * v;
                           });
      rstd.data[r] = 1.0f / ::sqrtf(square + static_cast<float>(epsilon));
      const Vec scale(rstd.data[r]);
      along(width, [&](long i, auto n) PHONAUT_FORCE_INLINE {
        const Vec v = load(from + i, n) * scale;
        store(y.row(r) + i, gain ? v * load(gain + i, n) : v, n);
      });
    }
  });
}

void rms_norm_backward(const Cpu& cpu, View<const float, 2> dy, View<const float, 2> x, const float* gain,
                       View<const float, 1> rstd, Sink<float, 2> dx, Sink<float, 1> dgain, View<float, 2> partial) {
  const long rows = x.shape[0], width = x.shape[1];
  const float per_element = 1.0f / static_cast<float>(width);
  parallel_for(cpu.threads, row_blocks(rows), [&](long block) {
    const long first = block * rows_per_block;
    const long last = first + rows_per_block < rows ? first + rows_per_block : rows;
    for (long r = first; r < last; ++r) {
      const float *dy_row = dy.row(r), *x_row = x.row(r);
      const Vec scale(rstd.data[r]);
      const auto h = [&](long i, auto n) PHONAUT_FORCE_INLINE {
        const Vec g = load(dy_row + i, n);
        return gain ? g * load(gain + i, n) : g;
      };
      if (dx) {
        const float sum_hz = sum_along(
            width, [&](long i, auto n) PHONAUT_FORCE_INLINE { return h(i, n) * (load(x_row + i, n) * scale); });
        const Vec mean_hz(per_element * sum_hz);
        along(width, [&](long i, auto n) PHONAUT_FORCE_INLINE {
          put(dx.row(r) + i, scale * (h(i, n) - load(x_row + i, n) * scale * mean_hz), dx.add, n);
        });
      }
      if (!partial) continue;
      const bool start = r == first;
      along(width, [&](long i, auto n) PHONAUT_FORCE_INLINE {
        put(partial.row(block) + i, load(dy_row + i, n) * (load(x_row + i, n) * scale), !start, n);
      });
    }
  });
  add_up_blocks(partial, 0, dgain);
}

}  // namespace phonaut::kernel::PHONAUT_ISA
#else
#include "phonaut/ops/rms_norm.hpp"
#endif

PHONAUT_DISPATCH(rms_norm_forward,
                 (const Cpu& cpu, View<const float, 2> x, const float* gain, double epsilon, View<float, 2> y,
                  View<float, 1> rstd),
                 (cpu, x, gain, epsilon, y, rstd))
PHONAUT_DISPATCH(rms_norm_backward,
                 (const Cpu& cpu, View<const float, 2> dy, View<const float, 2> x, const float* gain,
                  View<const float, 1> rstd, Sink<float, 2> dx, Sink<float, 1> dgain, View<float, 2> partial),
                 (cpu, dy, x, gain, rstd, dx, dgain, partial))
