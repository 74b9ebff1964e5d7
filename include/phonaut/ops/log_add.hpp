#pragma once
// Sums of probabilities that are kept as logarithms.
#include <limits>

#include "phonaut/core/math.hpp"

namespace phonaut::kernel::detail {

/// log 0, which a sum of probabilities starts from.
template <class W>
PHONAUT_HD PHONAUT_INLINE W log_zero() {
  return W(-std::numeric_limits<double>::infinity());
}
/// log(e^a + e^b); infinities are log 0, and add nothing.
template <class W>
PHONAUT_HD PHONAUT_INLINE W log_add(const W& a, const W& b) {
  using math::exp;
  using math::log;
  const W none = log_zero<W>();
  if (a == none) return b;
  if (b == none) return a;
  const W top = a < b ? b : a;
  return top + log(exp(a - top) + exp(b - top));
}

}  // namespace phonaut::kernel::detail
