#pragma once
// The three passes of a softmax over one row.
#include "rows.hpp"
#include "simd_math.hpp"

#ifdef PHONAUT_ISA
namespace phonaut::kernel::PHONAUT_ISA {

/// Numbers whose largest lane is the largest of x. A NaN may be lost here, but comes through the exponentials.
PHONAUT_INLINE Vec largest_along(const float* x, long width) {
  const Vec lowest(-infinity());
  return fold_along(
      width, lowest, [&](long i, auto n) PHONAUT_FORCE_INLINE { return only(load(x + i, n), lowest, n); },
      [](Vec a, Vec b) PHONAUT_FORCE_INLINE { return max(a, b); });
}

/// to = exp(x - shift); returns numbers whose lanes add up to the sum.
PHONAUT_INLINE Vec exponentials_along(const float* x, long width, float shift, float* to) {
  const Vec by(shift);
  return fold_along(
      width, Vec(0.0f),
      [&](long i, auto n) PHONAUT_FORCE_INLINE {
        const Vec e = exp(load(x + i, n) - by);
        store(to + i, e, n);
        return only(e, Vec(0.0f), n);
      },
      [](Vec a, Vec b) PHONAUT_FORCE_INLINE { return a + b; });
}

/// y = factor x.
PHONAUT_INLINE void scale_along(const float* x, long width, float factor, float* y) {
  const Vec by(factor);
  along(width, [&](long i, auto n) PHONAUT_FORCE_INLINE { store(y + i, load(x + i, n) * by, n); });
}

}  // namespace phonaut::kernel::PHONAUT_ISA
#endif
