#pragma once
// The weights of frames in a group. Light: per-instruction-set kernel files include it.
#include "phonaut/core/math.hpp"

namespace phonaut::kernel {

/// Largest group, so that kernels can keep its weights on the stack.
constexpr long max_downsampling = 64;

/// w = softmax(bias).
template <class S, class W>
PHONAUT_HD PHONAUT_INLINE void group_weights(const S* bias, long group, W* w) {
  using math::exp;
  using math::max;
  W largest = bias[0], total = 0;
  for (long k = 1; k < group; ++k) largest = max(largest, W(bias[k]));
  for (long k = 0; k < group; ++k) total += w[k] = exp(W(bias[k]) - largest);
  for (long k = 0; k < group; ++k) w[k] = w[k] / total;
}

}  // namespace phonaut::kernel
