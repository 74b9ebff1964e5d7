#pragma once
#include "phonaut/core/math.hpp"
#include "phonaut/ops/formula/pair.hpp"

namespace phonaut::formula {

/// |x - y|; slope 0 where they are equal.
struct Distance {
  template <class S>
  PHONAUT_HD PHONAUT_INLINE S value(S x, S y) const {
    return abs(x - y);
  }
  template <class S>
  PHONAUT_HD PHONAUT_INLINE Slopes<S> slopes(S x, S y) const {
    const S sign = select(x > y, S(1), select(x < y, S(-1), S(0)));
    return {sign, -sign};
  }
};
PHONAUT_PAIR_KERNELS(Distance)

/// (x - y)².
struct SquaredDistance {
  template <class S>
  PHONAUT_HD PHONAUT_INLINE S value(S x, S y) const {
    return (x - y) * (x - y);
  }
  template <class S>
  PHONAUT_HD PHONAUT_INLINE Slopes<S> slopes(S x, S y) const {
    const S slope = S(2) * (x - y);
    return {slope, -slope};
  }
};
PHONAUT_PAIR_KERNELS(SquaredDistance)

/// Smooth L1: (x - y)² / 2β where |x - y| < β, else |x - y| - β/2. R. Girshick, "Fast R-CNN", 2015.
struct SmoothDistance {
  float beta = 1;
  template <class S>
  PHONAUT_HD PHONAUT_INLINE S value(S x, S y) const {
    const S d = abs(x - y);
    return select(d < S(beta), S(0.5f / beta) * d * d, d - S(0.5f * beta));
  }
  template <class S>
  PHONAUT_HD PHONAUT_INLINE Slopes<S> slopes(S x, S y) const {
    const S slope = max(S(-1), min(S(1), S(1.0f / beta) * (x - y)));
    return {slope, -slope};
  }
};
PHONAUT_PAIR_KERNELS(SmoothDistance)

/// x y.
struct Product {
  template <class S>
  PHONAUT_HD PHONAUT_INLINE S value(S x, S y) const {
    return x * y;
  }
  template <class S>
  PHONAUT_HD PHONAUT_INLINE Slopes<S> slopes(S x, S y) const {
    return {y, x};
  }
};
PHONAUT_PAIR_KERNELS(Product)

}  // namespace phonaut::formula
