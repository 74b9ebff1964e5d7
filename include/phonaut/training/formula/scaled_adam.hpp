#pragma once
#include "phonaut/core/math.hpp"
#include "phonaut/training/formula/update.hpp"

namespace phonaut {
namespace kernel {

/// One element of ScaledAdam (training/scaled_adam.hpp), with g' = scale g:
///   v += rest2 (g'² - v),  d = grow p - rate g' / (√v · root + epsilon),  m += rest1 (d - m),  p += m,
/// and p kept within ±most. `rate` carries the size of the parameter, `grow` its change; root = 1 / √(1 - b2^t) while
/// that correction matters, else 1. m is not corrected.
template <class S_>
struct ScaledAdamRule {
  using Scalar = S_;
  static constexpr int states = 2;
  S_ scale, rest1, rest2, rate, root, epsilon, grow, most;

  template <class V>
  PHONAUT_HD PHONAUT_INLINE void operator()(V& p, V g, V* state) const {
    using math::max;
    using math::min;
    using math::sqrt;
    const V scaled = V(scale) * g;
    const V v = state[1] + V(rest2) * (scaled * scaled - state[1]);
    const V d = V(grow) * p - V(rate) * scaled / (sqrt(v) * V(root) + V(epsilon));
    const V m = state[0] + V(rest1) * (d - state[0]);
    p = min(max(p + m, V(-most)), V(most));
    state[0] = m;
    state[1] = v;
  }
};
PHONAUT_UPDATE_KERNELS(ScaledAdamRule)

}  // namespace kernel
}  // namespace phonaut
