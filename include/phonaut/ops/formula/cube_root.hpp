#pragma once
#include "phonaut/core/math.hpp"
#include "phonaut/ops/formula/kernels.hpp"

namespace phonaut::formula {

/// x^(1/3) for x > 0, otherwise 0. Its slope at 0 is infinite; 0 is taken there.
struct CubeRoot {
  template <class S>
  PHONAUT_HD PHONAUT_INLINE S value(S x) const {
    return x > S(0) ? exp(log(x) / S(3)) : S(0);
  }
  template <class S>
  PHONAUT_HD PHONAUT_INLINE S slope(S x) const {
    return x > S(0) ? value(x) / (S(3) * x) : S(0);
  }
};
PHONAUT_MAP_KERNELS_ON(Cuda, CubeRoot)

}  // namespace phonaut::formula
