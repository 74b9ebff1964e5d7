#pragma once
// Loops along one row, written once for whole registers and for the rest of the row.
//
//   along(width, [&](long i, auto n) PHONAUT_FORCE_INLINE { store(y + i, load(x + i, n) * scale, n); });
//
// `n` is Whole for a full register, or the number of elements that are left.
#include "parallel.hpp"
#include "vec.hpp"

#ifdef PHONAUT_ISA
namespace phonaut::kernel::PHONAUT_ISA {

struct Whole {};

PHONAUT_INLINE Vec load(const float* p, Whole) { return Vec::load(p); }
PHONAUT_INLINE Vec load(const float* p, long n) { return Vec::load(p, n); }
PHONAUT_INLINE void store(float* p, Vec v, Whole) { v.store(p); }
PHONAUT_INLINE void store(float* p, Vec v, long n) { v.store(p, n); }
PHONAUT_INLINE void put(float* p, Vec v, bool add, Whole) { put(p, v, add); }
/// `v` in the lanes that belong to the row, `other` in the rest.
PHONAUT_INLINE Vec only(Vec v, Vec, Whole) { return v; }
PHONAUT_INLINE Vec only(Vec v, Vec other, long n) { return select(Mask::first(n), v, other); }

/// Calls step(i, n) along [0, width).
template <class Step>
PHONAUT_INLINE void along(long width, const Step& step) {
  long i = 0;
  for (; i + Vec::lanes <= width; i += Vec::lanes) step(i, Whole{});
  if (i < width) step(i, width - i);
}

PHONAUT_INLINE void fill(float* to, long n, float value) {
  along(n, [&](long i, auto w) PHONAUT_FORCE_INLINE { store(to + i, Vec(value), w); });
}

/// Folds term(i, n) along [0, width) with `combine`, from `start` in every lane. Four chains hide the latency and keep
/// sums short. Terms must use `only` where lanes beyond the row would count.
template <class Term, class Combine>
PHONAUT_INLINE Vec fold_along(long width, Vec start, const Term& term, const Combine& combine) {
  Vec a = start, b = start, c = start, d = start;
  long i = 0;
  for (; i + 4 * Vec::lanes <= width; i += 4 * Vec::lanes) {
    a = combine(a, term(i, Whole{}));
    b = combine(b, term(i + Vec::lanes, Whole{}));
    c = combine(c, term(i + 2 * Vec::lanes, Whole{}));
    d = combine(d, term(i + 3 * Vec::lanes, Whole{}));
  }
  for (; i + Vec::lanes <= width; i += Vec::lanes) a = combine(a, term(i, Whole{}));
  if (i < width) b = combine(b, term(i, width - i));
  return combine(combine(a, b), combine(c, d));
}
/// Σ term(i, n).
template <class Term>
PHONAUT_INLINE float sum_along(long width, const Term& term) {
  return sum(fold_along(width, Vec(0.0f), term, [](Vec a, Vec b) PHONAUT_FORCE_INLINE { return a + b; }));
}

/// y[c] = Σ_b partial[b, first + c] for c < width, in the order of b: the end of a reduction over blocks of rows.
PHONAUT_INLINE void add_up_blocks(View<const float, 2> partial, long first, Sink<float, 1> y) {
  if (!y) return;
  along(y.shape[0], [&](long c, auto n) PHONAUT_FORCE_INLINE {
    Vec total(0.0f);
    for (long b = 0; b < partial.shape[0]; ++b) total += load(partial.row(b) + first + c, n);
    put(y.data + c, total, y.add, n);
  });
}

}  // namespace phonaut::kernel::PHONAUT_ISA
#endif
