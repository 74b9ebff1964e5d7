#pragma once
#include "phonaut/training/formula/update.hpp"

namespace phonaut {
namespace kernel {

/// Stochastic gradient descent with momentum:
///   g' = scale g + penalty p,  b = keep b + g',  p -= rate (look_ahead b + direct g').
/// `keep` is 0 in a parameter's first step, whose buffer is the gradient itself; plain momentum has (look_ahead,
/// direct) = (1, 0), Nesterov's has (momentum, 1).
template <class S_>
struct SgdRule {
  using Scalar = S_;
  static constexpr int states = 1;
  S_ scale, penalty, keep, look_ahead, direct, rate;

  template <class V>
  PHONAUT_HD PHONAUT_INLINE void operator()(V& p, V g, V* state) const {
    const V total = V(scale) * g + V(penalty) * p;
    const V buffer = V(keep) * state[0] + total;
    p = p - V(rate) * (V(look_ahead) * buffer + V(direct) * total);
    state[0] = buffer;
  }
};
PHONAUT_UPDATE_KERNELS(SgdRule)

}  // namespace kernel
}  // namespace phonaut
