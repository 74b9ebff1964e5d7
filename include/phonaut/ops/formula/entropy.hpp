#pragma once
#include "phonaut/core/math.hpp"

namespace phonaut::formula {

/// x log x, 0 at 0. The slope is held finite there: log(max(x, smallest)) + 1.
struct XLogX {
  static constexpr float smallest = 1e-30f;
  template <class S>
  PHONAUT_HD PHONAUT_INLINE S value(S x) const {
    return x * log(max(x, S(smallest)));
  }
  template <class S>
  PHONAUT_HD PHONAUT_INLINE S slope(S x) const {
    return log(max(x, S(smallest))) + S(1);
  }
};

}  // namespace phonaut::formula
