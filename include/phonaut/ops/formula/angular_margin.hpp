#pragma once
#include "phonaut/core/math.hpp"
#include "phonaut/ops/formula/kernels.hpp"

namespace phonaut::formula {

/// cos(θ + m) of x = cos θ, as long as θ + m <= π; beyond, where it would rise again, the straight line
/// x - m sin m, which goes on falling. cos m and the like are given, so that every backend has the same.
struct AngularMargin {
  double cos_m = 1, sin_m = 0, margin = 0;

  template <class S>
  PHONAUT_HD PHONAUT_INLINE S value(S x) const {
    return select(x > S(-cos_m), x * S(cos_m) - sine(x) * S(sin_m), x - S(margin * sin_m));
  }
  /// d/dx cos(θ + m) = cos m + x sin m / sin θ; at θ = 0, where the sine has no slope to one side, cos m.
  template <class S>
  PHONAUT_HD PHONAUT_INLINE S slope(S x) const {
    const S s = sine(x);
    const S inner = S(cos_m) + select(s > S(0), x * S(sin_m) / select(s > S(0), s, S(1)), S(0));
    return select(x > S(-cos_m), inner, S(1));
  }

 private:
  template <class S>
  PHONAUT_HD PHONAUT_INLINE S sine(S x) const {
    return sqrt(max(S(1) - x * x, S(0)));
  }
};
PHONAUT_MAP_KERNELS_ON(Cuda, AngularMargin)

}  // namespace phonaut::formula
