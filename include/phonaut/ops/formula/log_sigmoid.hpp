#pragma once
#include "phonaut/core/math.hpp"

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

}  // namespace phonaut::formula
