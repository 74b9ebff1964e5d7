#pragma once
#include "phonaut/core/math.hpp"
#include "phonaut/ops/formula/kernels.hpp"

namespace phonaut::formula {

/// log sigmoid(x) = -softplus(-x).
struct LogSigmoid {
  template <class S>
  PHONAUT_HD PHONAUT_INLINE S value(S x) const {
    return -softplus(-x);
  }
  template <class S>
  PHONAUT_HD PHONAUT_INLINE S slope(S x) const {
    return sigmoid(-x);
  }
};
PHONAUT_MAP_KERNELS_ON(Cuda, LogSigmoid)

}  // namespace phonaut::formula
