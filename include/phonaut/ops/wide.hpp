#pragma once
// The number type in which the reference formulas keep sums.
#include <type_traits>

namespace phonaut::kernel {

/// double for float, so that long sums keep their digits; every other number type is its own.
template <class S>
using Wide = std::conditional_t<std::is_same_v<S, float>, double, S>;

}  // namespace phonaut::kernel
