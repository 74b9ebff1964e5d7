#pragma once
#include "phonaut/core/math.hpp"
#include "phonaut/training/formula/update.hpp"

namespace phonaut {
namespace kernel {

/// Lion (Chen et al., "Symbolic discovery of optimization algorithms", 2023):
///   u = sign(b1 m + (1 - b1) g'),  p -= decay p + rate u,  m = b2 m + (1 - b2) g',  with g' = scale g and sign(0) = 0.
template <class S_>
struct LionRule {
  using Scalar = S_;
  static constexpr int states = 1;
  S_ scale, beta1, rest1, beta2, rest2, decay, rate;

  template <class V>
  PHONAUT_HD PHONAUT_INLINE void operator()(V& p, V g, V* state) const {
    using math::select;
    const V total = V(scale) * g;
    const V mixed = V(beta1) * state[0] + V(rest1) * total;
    const V zero(S_(0));
    const V sign = select(zero < mixed, V(S_(1)), select(mixed < zero, V(S_(-1)), zero));
    p = p - (V(decay) * p + V(rate) * sign);
    state[0] = V(beta2) * state[0] + V(rest2) * total;
  }
};
PHONAUT_UPDATE_KERNELS(LionRule)

}  // namespace kernel
}  // namespace phonaut
