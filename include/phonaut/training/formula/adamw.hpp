#pragma once
#include "phonaut/core/math.hpp"
#include "phonaut/training/formula/update.hpp"

namespace phonaut {
namespace kernel {

/// Adam with either form of weight decay (Kingma and Ba, 2015; Loshchilov and Hutter, "Decoupled weight decay
/// regularization", 2019):
///   g' = scale g + penalty p,  m += rest1 (g' - m),  v += rest2 (g'² - v),
///   p -= decay p + rate m / (√v · root + epsilon)
/// with rest = 1 - beta. Written as a step towards g', m keeps its fixed point; beta m + rest g', with both rounded to
/// float, would miss it by rounding / rest. Here rate carries the learning rate and the bias correction of m, root = 1
/// / √(1 - b2^t) that of v; epsilon stands outside of the root and behind the correction.
template <class S_>
struct AdamwRule {
  using Scalar = S_;
  static constexpr int states = 2;
  S_ scale, penalty, rest1, rest2, decay, rate, root, epsilon;

  template <class V>
  PHONAUT_HD PHONAUT_INLINE void operator()(V& p, V g, V* state) const {
    using math::sqrt;
    const V total = V(scale) * g + V(penalty) * p;
    const V m = state[0] + V(rest1) * (total - state[0]);
    const V v = state[1] + V(rest2) * (total * total - state[1]);
    // One subtraction from p: a decay below half a rounding unit of p still counts together with the step.
    p = p - (V(decay) * p + V(rate) * m / (sqrt(v) * V(root) + V(epsilon)));
    state[0] = m;
    state[1] = v;
  }
};
PHONAUT_UPDATE_KERNELS(AdamwRule)

}  // namespace kernel
}  // namespace phonaut
