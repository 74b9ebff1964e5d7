#pragma once
#include "phonaut/core/math.hpp"
#include "phonaut/ops/formula/kernels.hpp"

namespace phonaut::formula {

/// SwooshL(x) = log(1 + exp(x - 4)) - 0.08 x - 0.035: a soft knee far to the right, and a floor that still slopes.
/// Note that SwooshL(0) is not 0. Yao et al., "Zipformer", 2023.
struct SwooshL {
  template <class S>
  PHONAUT_HD PHONAUT_INLINE S value(S x) const {
    return softplus(x - S(4)) - S(0.08) * x - S(0.035);
  }
  template <class S>
  PHONAUT_HD PHONAUT_INLINE S slope(S x) const {
    return sigmoid(x - S(4)) - S(0.08);
  }
};
PHONAUT_MAP_KERNELS(SwooshL)

/// SwooshR(x) = log(1 + exp(x - 1)) - 0.08 x - 0.313261687: the same curve, moved so that SwooshR(0) = 0.
struct SwooshR {
  template <class S>
  PHONAUT_HD PHONAUT_INLINE S value(S x) const {
    return softplus(x - S(1)) - S(0.08) * x - S(0.313261687);
  }
  template <class S>
  PHONAUT_HD PHONAUT_INLINE S slope(S x) const {
    return sigmoid(x - S(1)) - S(0.08);
  }
};
PHONAUT_MAP_KERNELS(SwooshR)

}  // namespace phonaut::formula
