#pragma once
#include "phonaut/core/math.hpp"
#include "phonaut/ops/formula/kernels.hpp"

namespace phonaut::formula {

/// log(x + offset).
struct LogPlus {
  float offset = 0x1p-24f;
  template <class S>
  PHONAUT_HD PHONAUT_INLINE S value(S x) const {
    return log(x + S(offset));
  }
  template <class S>
  PHONAUT_HD PHONAUT_INLINE S slope(S x) const {
    return S(1) / (x + S(offset));
  }
};
PHONAUT_MAP_KERNELS(LogPlus)

}  // namespace phonaut::formula
