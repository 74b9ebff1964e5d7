#pragma once
#include "phonaut/core/math.hpp"

namespace phonaut {

/// Which of the equal parts of a frame's channels is the value, and which one the gate.
struct PartGate {
  long parts = 2;
  long value = 0;
  long gate = 1;
};

}  // namespace phonaut

namespace phonaut::formula {

/// Gates know their slope from their value, which saves backward a second exponential.
struct SigmoidGate {
  template <class S>
  PHONAUT_HD PHONAUT_INLINE S value(S x) const {
    return sigmoid(x);
  }
  template <class S>
  PHONAUT_HD PHONAUT_INLINE S slope_from_value(S y) const {
    return y * (S(1) - y);
  }
};

struct TanhGate {
  template <class S>
  PHONAUT_HD PHONAUT_INLINE S value(S x) const {
    return tanh(x);
  }
  template <class S>
  PHONAUT_HD PHONAUT_INLINE S slope_from_value(S y) const {
    return S(1) - y * y;
  }
};

}  // namespace phonaut::formula
