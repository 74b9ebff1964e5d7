#pragma once
#include "phonaut/core/math.hpp"
#include "phonaut/ops/formula/kernels.hpp"

namespace phonaut::formula {

/// min(exp(x), most), for learned scales; the slope is 0 where the limit holds.
struct ClampedExp {
  float most = 100;
  template <class S>
  PHONAUT_HD PHONAUT_INLINE S value(S x) const {
    return min(exp(x), S(most));
  }
  template <class S>
  PHONAUT_HD PHONAUT_INLINE S slope(S x) const {
    const S y = exp(x);
    return select(y > S(most), S(0), y);
  }
};
PHONAUT_MAP_KERNELS_ON(Cuda, ClampedExp)

}  // namespace phonaut::formula
