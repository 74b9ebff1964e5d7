#pragma once
#include "phonaut/core/math.hpp"
#include "phonaut/ops/formula/kernels.hpp"

namespace phonaut::formula {

/// relu(target - √(x + epsilon)), of a variance x: what is missing to the target deviation.
struct DeviationHinge {
  float target = 1, epsilon = 1e-4f;
  template <class S>
  PHONAUT_HD PHONAUT_INLINE S value(S x) const {
    return max(S(target) - sqrt(x + S(epsilon)), S(0));
  }
  template <class S>
  PHONAUT_HD PHONAUT_INLINE S slope(S x) const {
    const S deviation = sqrt(x + S(epsilon));
    return select(deviation < S(target), S(-0.5) / deviation, S(0));
  }
};
PHONAUT_MAP_KERNELS_ON(Cuda, DeviationHinge)

/// relu(1 - x).
struct HingeAbove {
  template <class S>
  PHONAUT_HD PHONAUT_INLINE S value(S x) const {
    return max(S(1) - x, S(0));
  }
  template <class S>
  PHONAUT_HD PHONAUT_INLINE S slope(S x) const {
    return select(x < S(1), S(-1), S(0));
  }
};
PHONAUT_MAP_KERNELS_ON(Cuda, HingeAbove)

/// relu(1 + x).
struct HingeBelow {
  template <class S>
  PHONAUT_HD PHONAUT_INLINE S value(S x) const {
    return max(S(1) + x, S(0));
  }
  template <class S>
  PHONAUT_HD PHONAUT_INLINE S slope(S x) const {
    return select(x > S(-1), S(1), S(0));
  }
};
PHONAUT_MAP_KERNELS_ON(Cuda, HingeBelow)

/// (1 - x)².
struct SquaredFromOne {
  template <class S>
  PHONAUT_HD PHONAUT_INLINE S value(S x) const {
    return (S(1) - x) * (S(1) - x);
  }
  template <class S>
  PHONAUT_HD PHONAUT_INLINE S slope(S x) const {
    return S(2) * (x - S(1));
  }
};
PHONAUT_MAP_KERNELS_ON(Cuda, SquaredFromOne)

/// 1 / x.
struct Reciprocal {
  template <class S>
  PHONAUT_HD PHONAUT_INLINE S value(S x) const {
    return S(1) / x;
  }
  template <class S>
  PHONAUT_HD PHONAUT_INLINE S slope(S x) const {
    return S(-1) / (x * x);
  }
};
PHONAUT_MAP_KERNELS_ON(Cuda, Reciprocal)

}  // namespace phonaut::formula
