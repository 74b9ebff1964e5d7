#pragma once
// Loops in which the last register of a row is a partial one, and lanes that are summed up in double.
#include "vec.hpp"

#ifdef PHONAUT_ISA
namespace phonaut::kernel::PHONAUT_ISA {

/// The first `n` elements, 1 <= n <= lanes; other lanes are zero.
PHONAUT_INLINE Vec load_some(const float* p, long n) { return n == Vec::lanes ? Vec::load(p) : Vec::load(p, n); }
PHONAUT_INLINE void store_some(Vec v, float* p, long n) {
  if (n == Vec::lanes) v.store(p);
  else v.store(p, n);
}
PHONAUT_INLINE void put_some(float* p, Vec v, bool add, long n) {
  if (n == Vec::lanes) put(p, v, add);
  else put(p, v, add, n);
}
/// The first `n` lanes of v, 0 in the others.
PHONAUT_INLINE Vec keep_some(Vec v, long n) { return n == Vec::lanes ? v : select(Mask::first(n), v, Vec(0.0f)); }

/// Calls run(i, n) for each register of a row: n lanes from column i on. The lambda needs PHONAUT_FORCE_INLINE.
template <class Run>
PHONAUT_INLINE void each_register(long width, const Run& run) {
  long i = 0;
  for (; i + Vec::lanes <= width; i += Vec::lanes) run(i, Vec::lanes);
  if (i < width) run(i, width - i);
}

/// Calls run(count) with a constant `count` = `n`, 1 <= n <= most.
template <int most, class Run>
PHONAUT_INLINE void with_constant(long n, const Run& run) {
  if constexpr (most > 1) {
    if (n < most) return with_constant<most - 1>(n, run);
  }
  run(std::integral_constant<int, most>{});
}

/// Additions to one lane in float before the sum moves on to double.
constexpr long additions_in_float = 64;

/// Sum over a row: add(sum, i, n) returns sum plus the lanes of register i.
template <class Add>
PHONAUT_INLINE double row_total(long width, const Add& add) {
  constexpr long run = additions_in_float * Vec::lanes;
  double total = 0;
  for (long begin = 0; begin < width; begin += run) {
    Vec part(0.0f);
    each_register(width - begin < run ? width - begin : run,
                  [&](long i, long n) PHONAUT_FORCE_INLINE { part = add(part, begin + i, n); });
    total += static_cast<double>(sum(part));
  }
  return total;
}

/// to[i] += lane i, for the first n lanes.
PHONAUT_INLINE void add_lanes(Vec v, double* to, long n) {
  alignas(64) float lane[Vec::lanes];
  v.store(lane);
  for (long i = 0; i < n; ++i) to[i] += static_cast<double>(lane[i]);
}

}  // namespace phonaut::kernel::PHONAUT_ISA
#endif
