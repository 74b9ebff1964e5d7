#include "phonaut/ops/real_rows.hpp"

#include "parallel.hpp"
#include "partial.hpp"

#ifdef PHONAUT_ISA
namespace phonaut::kernel::PHONAUT_ISA {

/// A strip of columns, one cache line or more, goes down all rows on one thread. `whole`: every register is full.
constexpr long moment_registers = 64 / Vec::lanes > 4 ? 4 : 64 / Vec::lanes;

template <long registers, bool whole>
PHONAUT_INLINE void strip_moments(View<const float, 2> x, const RealRows& rows, long c, long rest, long start,
                                  double count, double* mean, double* variance) {
  const auto load = [&](const float* p) PHONAUT_FORCE_INLINE { return whole ? Vec::load(p) : load_some(p, rest); };
  Vec origin[registers];
  for (long i = 0; i < registers; ++i) origin[i] = load(x.row(start) + c + i * Vec::lanes);
  double sums[registers * Vec::lanes] = {}, squares[registers * Vec::lanes] = {};
  for (long n = 0; n < rows.batch; ++n) {
    const long last = n * rows.each + rows.of(n);
    for (long begin = n * rows.each; begin < last; begin += additions_in_float) {
      const long end = begin + additions_in_float < last ? begin + additions_in_float : last;
      Vec sum[registers], square[registers];
      for (long i = 0; i < registers; ++i) sum[i] = square[i] = Vec(0.0f);
      for (long r = begin; r < end; ++r)
        for (long i = 0; i < registers; ++i) {
          const Vec d = load(x.row(r) + c + i * Vec::lanes) - origin[i];
          sum[i] += d;
          square[i] = fma(d, d, square[i]);
        }
      for (long i = 0; i < registers; ++i) {
        add_lanes(sum[i], sums + i * Vec::lanes, Vec::lanes);
        add_lanes(square[i], squares + i * Vec::lanes, Vec::lanes);
      }
    }
  }
  const long width = whole ? registers * Vec::lanes : rest;
  for (long j = 0; j < width; ++j) {
    const double shift = sums[j] / count, spread = squares[j] / count - shift * shift;
    mean[c + j] = static_cast<double>(x.row(start)[c + j]) + shift;
    variance[c + j] = spread > 0 ? spread : 0;
  }
}

void column_moments(const Cpu& cpu, View<const float, 2> x, RealRows rows, double* mean, double* variance) {
  constexpr long strip = moment_registers * Vec::lanes;
  const long width = x.shape[1], total = rows.total();
  long first = 0;
  while (first < rows.batch && rows.of(first) == 0) ++first;
  if (total == 0) {
    for (long c = 0; c < width; ++c) mean[c] = variance[c] = 0;
    return;
  }
  const bool small = total * width < 2 * elements_per_block;
  const double count = static_cast<double>(total);
  parallel_for(small ? 1 : cpu.threads, blocks_of(width, strip), [&](long block) {
    const long c = block * strip, start = first * rows.each;
    if (c + strip <= width) {
      strip_moments<moment_registers, true>(x, rows, c, Vec::lanes, start, count, mean, variance);
    } else {
      for (long i = c; i < width; i += Vec::lanes) {
        const long rest = width - i < Vec::lanes ? width - i : Vec::lanes;
        strip_moments<1, false>(x, rows, i, rest, start, count, mean, variance);
      }
    }
  });
}

}  // namespace phonaut::kernel::PHONAUT_ISA
#else
#include "phonaut/ops/column_moments.hpp"
#endif

PHONAUT_DISPATCH(column_moments,
                 (const Cpu& cpu, View<const float, 2> x, RealRows rows, double* mean, double* variance),
                 (cpu, x, rows, mean, variance))
