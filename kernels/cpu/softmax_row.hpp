#pragma once
// The softmax of one row, for kernels whose rows come from elsewhere.
#include "rows.hpp"
#include "simd_math.hpp"

#ifdef PHONAUT_ISA
namespace phonaut::kernel::PHONAUT_ISA {

/// The largest of `width` numbers; 0 of none. A NaN may be lost here, but comes through the exponentials.
PHONAUT_INLINE float largest_along(const float* x, long width) {
  if (width == 0) return 0.0f;
  const Vec lowest(-infinity());
  return largest(fold_along(
      width, lowest, [&](long i, auto n) PHONAUT_FORCE_INLINE { return only(load(x + i, n), lowest, n); },
      [](Vec a, Vec b) PHONAUT_FORCE_INLINE { return max(a, b); }));
}

/// y = exp(x - max) / Σ exp(x - max). The exponentials pass through `between`, which may be x or y.
PHONAUT_INLINE void softmax_row(const float* x, long width, float* between, float* y) {
  const Vec shift(largest_along(x, width));
  const float total = sum_along(width, [&](long i, auto n) PHONAUT_FORCE_INLINE {
    const Vec e = exp(load(x + i, n) - shift);
    store(between + i, e, n);
    return only(e, Vec(0.0f), n);
  });
  const Vec scale(1.0f / total);
  along(width, [&](long i, auto n) PHONAUT_FORCE_INLINE { store(y + i, load(between + i, n) * scale, n); });
}

}  // namespace phonaut::kernel::PHONAUT_ISA
#endif
