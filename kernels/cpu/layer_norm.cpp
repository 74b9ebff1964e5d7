#include "phonaut/ops/row_blocks.hpp"
#include "rows.hpp"

#ifdef PHONAUT_ISA
#include <math.h>
namespace phonaut::kernel::PHONAUT_ISA {

void layer_norm_forward(const Cpu& cpu, View<const float, 2> x, const float* gain, const float* bias, double epsilon,
                        View<float, 2> y, View<float, 2> stats) {
  const long width = x.shape[1];
  const float per_element = 1.0f / static_cast<float>(width);
  parallel_rows(cpu.threads, x.shape[0], width, [&](long first, long last) {
    for (long r = first; r < last; ++r) {
      const float* from = x.row(r);
      float* to = y.row(r);
      const float mean =
          per_element * sum_along(width, [&](long i, auto n) PHONAUT_FORCE_INLINE { return load(from + i, n); });
      const Vec centre(mean);
      const float variance = per_element * sum_along(width, [&](long i, auto n) PHONAUT_FORCE_INLINE {
                               const Vec d = only(load(from + i, n) - centre, Vec(0.0f), n);
                               return d * d;
                             });
      const float rstd = 1.0f / ::sqrtf(variance + static_cast<float>(epsilon));
      const Vec scale(rstd);
      along(width, [&](long i, auto n) PHONAUT_FORCE_INLINE {
        Vec v = (load(from + i, n) - centre) * scale;
        if (gain) v = v * load(gain + i, n);
        if (bias) v = v + load(bias + i, n);
        store(to + i, v, n);
      });
      stats.row(r)[0] = mean;
      stats.row(r)[1] = rstd;
    }
  });
}

void layer_norm_backward(const Cpu& cpu, View<const float, 2> dy, View<const float, 2> x, const float* gain,
                         View<const float, 2> stats, Sink<float, 2> dx, Sink<float, 1> dgain, Sink<float, 1> dbias,
                         View<float, 2> partial) {
  const long rows = x.shape[0], width = x.shape[1];
  const float per_element = 1.0f / static_cast<float>(width);
  parallel_for(cpu.threads, row_blocks(rows), [&](long block) {
    const long first = block * rows_per_block;
    const long last = first + rows_per_block < rows ? first + rows_per_block : rows;
    float* to_gain = partial ? partial.row(block) : nullptr;
    float* to_bias = partial ? to_gain + width : nullptr;
    for (long r = first; r < last; ++r) {
      const float *dy_row = dy.row(r), *x_row = x.row(r);
      const Vec mean(stats.row(r)[0]), rstd(stats.row(r)[1]);
      const auto h = [&](long i, auto n) PHONAUT_FORCE_INLINE {
        const Vec g = load(dy_row + i, n);
        return gain ? g * load(gain + i, n) : g;
      };
      const auto normed = [&](long i, auto n) PHONAUT_FORCE_INLINE { return (load(x_row + i, n) - mean) * rstd; };
      if (dx) {
        Vec sum_h(0.0f), sum_hz(0.0f);
        along(width, [&](long i, auto n) PHONAUT_FORCE_INLINE {
          const Vec v = h(i, n);  // zero beyond the row
          sum_h += v;
          sum_hz = fma(v, normed(i, n), sum_hz);
        });
        const Vec mean_h(per_element * sum(sum_h)), mean_hz(per_element * sum(sum_hz));
        along(width, [&](long i, auto n) PHONAUT_FORCE_INLINE {
          put(dx.row(r) + i, rstd * (h(i, n) - mean_h - normed(i, n) * mean_hz), dx.add, n);
        });
      }
      if (!partial) continue;
      const bool start = r == first;
      along(width, [&](long i, auto n) PHONAUT_FORCE_INLINE {
        const Vec g = load(dy_row + i, n);
        put(to_gain + i, g * normed(i, n), !start, n);
        put(to_bias + i, g, !start, n);
      });
    }
  });
  add_up_blocks(partial, 0, dgain);
  add_up_blocks(partial, width, dbias);
}

}  // namespace phonaut::kernel::PHONAUT_ISA
#else
#include "phonaut/ops/layer_norm.hpp"
#endif

PHONAUT_DISPATCH(layer_norm_forward,
                 (const Cpu& cpu, View<const float, 2> x, const float* gain, const float* bias, double epsilon,
                  View<float, 2> y, View<float, 2> stats),
                 (cpu, x, gain, bias, epsilon, y, stats))
PHONAUT_DISPATCH(layer_norm_backward,
                 (const Cpu& cpu, View<const float, 2> dy, View<const float, 2> x, const float* gain,
                  View<const float, 2> stats, Sink<float, 2> dx, Sink<float, 1> dgain, Sink<float, 1> dbias,
                  View<float, 2> partial),
                 (cpu, dy, x, gain, stats, dx, dgain, dbias, partial))
