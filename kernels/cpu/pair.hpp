#pragma once
// Sums of f(x, y) over all elements or over rows, and their gradients, for any formula of two values.
#include "elementwise.hpp"
#include "partial.hpp"
#include "simd_math.hpp"

#ifdef PHONAUT_ISA
namespace phonaut::kernel::PHONAUT_ISA {

template <class F>
PHONAUT_INLINE float pair_total(const F& f, double scale, View<const float, 2> x, View<const float, 2> y) {
  const RowRange range(x.shape, x.stride[0], y.stride[0]);
  double total = 0;
  for (long r = 0; r < range.rows; ++r) {
    const float *px = x.row(r), *py = y.row(r);
    // f(0, 0) need not be 0: lanes behind the end are taken out.
    total += row_total(range.width, [&](Vec part, long i, long n) PHONAUT_FORCE_INLINE {
      return part + keep_some(f.value(load_some(px + i, n), load_some(py + i, n)), n);
    });
  }
  return static_cast<float>(scale * total);
}

// Lanes are columns.
template <class F>
PHONAUT_INLINE void pair_column_totals(const Cpu& cpu, const F& f, double scale, View<const float, 2> x,
                                       View<const float, 2> y, float* out) {
  const long rows = x.shape[0], columns = x.shape[1];
  parallel_for(cpu.threads, blocks_of(columns, Vec::lanes), [&](long block) {
    const long c = block * Vec::lanes, n = columns - c < Vec::lanes ? columns - c : Vec::lanes;
    double total[Vec::lanes] = {};
    for (long begin = 0; begin < rows; begin += additions_in_float) {
      const long end = begin + additions_in_float < rows ? begin + additions_in_float : rows;
      Vec part(0.0f);
      for (long r = begin; r < end; ++r) {
        const float *px = x.row(r) + c, *py = y.row(r) + c;
        part += f.value(load_some(px, n), load_some(py, n));
      }
      add_lanes(part, total, Vec::lanes);
    }
    for (long i = 0; i < n; ++i) out[c + i] = static_cast<float>(scale * total[i]);
  });
}

template <class F>
PHONAUT_INLINE void pair_slopes(const Cpu& cpu, const F& f, double scale, const float* gain, long step,
                                View<const float, 2> x, View<const float, 2> y, Sink<float, 2> dx, Sink<float, 2> dy) {
  if (!dx && !dy) return;
  const Vec factor(static_cast<float>(scale));
  // A gain per column needs the columns kept apart; otherwise rows without gaps are one long row.
  RowRange range(x.shape, x.stride[0], y.stride[0], x.shape[1]);
  if (step != 0) range.rows = x.shape[0], range.width = x.shape[1];
  const Vec one_gain = step == 0 && x.size() > 0 ? factor * Vec(gain[0]) : Vec(0.0f);
  for_each_register(
      cpu, range,
      [&](long r, long i) PHONAUT_FORCE_INLINE {
        const auto slope = f.slopes(Vec::load(x.row(r) + i), Vec::load(y.row(r) + i));
        const Vec g = step == 0 ? one_gain : factor * Vec::load(gain + i);
        if (dx) put(dx.row(r) + i, g * slope.x, dx.add);
        if (dy) put(dy.row(r) + i, g * slope.y, dy.add);
      },
      [&](long r, long i, long n) PHONAUT_FORCE_INLINE {
        const auto slope = f.slopes(Vec::load(x.row(r) + i, n), Vec::load(y.row(r) + i, n));
        const Vec g = step == 0 ? one_gain : factor * Vec::load(gain + i, n);
        if (dx) put(dx.row(r) + i, g * slope.x, dx.add, n);
        if (dy) put(dy.row(r) + i, g * slope.y, dy.add, n);
      });
}

}  // namespace phonaut::kernel::PHONAUT_ISA

#define PHONAUT_PAIR(F)                                                                                                \
  namespace phonaut::kernel::PHONAUT_ISA {                                                                             \
  void pair_sum(const Cpu&, formula::F f, double scale, View<const float, 2> x, View<const float, 2> y, float* out) {  \
    *out = pair_total(f, scale, x, y);                                                                                 \
  }                                                                                                                    \
  void pair_columns(const Cpu& cpu, formula::F f, double scale, View<const float, 2> x, View<const float, 2> y,        \
                    float* out) {                                                                                      \
    pair_column_totals(cpu, f, scale, x, y, out);                                                                      \
  }                                                                                                                    \
  void pair_backward(const Cpu& cpu, formula::F f, double scale, const float* gain, long step, View<const float, 2> x, \
                     View<const float, 2> y, Sink<float, 2> dx, Sink<float, 2> dy) {                                   \
    pair_slopes(cpu, f, scale, gain, step, x, y, dx, dy);                                                              \
  }                                                                                                                    \
  }

#else

/// The Cpu kernels of formula::F, whose header says PHONAUT_PAIR_KERNELS(F).
#define PHONAUT_PAIR(F)                                                                                         \
  PHONAUT_DISPATCH_IN(                                                                                          \
      phonaut::formula, pair_sum,                                                                               \
      (const Cpu& cpu, formula::F f, double scale, View<const float, 2> x, View<const float, 2> y, float* out), \
      (cpu, f, scale, x, y, out))                                                                               \
  PHONAUT_DISPATCH_IN(                                                                                          \
      phonaut::formula, pair_columns,                                                                           \
      (const Cpu& cpu, formula::F f, double scale, View<const float, 2> x, View<const float, 2> y, float* out), \
      (cpu, f, scale, x, y, out))                                                                               \
  PHONAUT_DISPATCH_IN(phonaut::formula, pair_backward,                                                          \
                      (const Cpu& cpu, formula::F f, double scale, const float* gain, long step,                \
                       View<const float, 2> x, View<const float, 2> y, Sink<float, 2> dx, Sink<float, 2> dy),   \
                      (cpu, f, scale, gain, step, x, y, dx, dy))

#endif
