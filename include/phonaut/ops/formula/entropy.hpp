#pragma once
#include "phonaut/core/math.hpp"
#include "phonaut/ops/formula/kernels.hpp"

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
PHONAUT_MAP_KERNELS_ON(Cuda, XLogX)

/// Entropy in nats of a bit that is 1 with probability p: -p log p - (1 - p) log(1 - p), 0 at both ends, where the
/// slope log((1 - p) / p) is held finite.
struct BitEntropy {
  static constexpr float smallest = 1e-30f;
  template <class S>
  PHONAUT_HD PHONAUT_INLINE S value(S p) const {
    const S q = S(1) - p;
    return -(p * log(max(p, S(smallest))) + q * log(max(q, S(smallest))));
  }
  template <class S>
  PHONAUT_HD PHONAUT_INLINE S slope(S p) const {
    return log(max(S(1) - p, S(smallest))) - log(max(p, S(smallest)));
  }
};
PHONAUT_MAP_KERNELS_ON(Cuda, BitEntropy)

/// The same for p = sigmoid(x), from x: softplus(x) - x sigmoid(x), exact where p is 0 or 1 in float.
struct LogitEntropy {
  template <class S>
  PHONAUT_HD PHONAUT_INLINE S value(S x) const {
    return softplus(x) - x * sigmoid(x);
  }
  template <class S>
  PHONAUT_HD PHONAUT_INLINE S slope(S x) const {
    return -(x * sigmoid(x) * sigmoid(-x));
  }
};
PHONAUT_MAP_KERNELS_ON(Cuda, LogitEntropy)

}  // namespace phonaut::formula
