#pragma once
// Elementary functions of a number, under one set of names for every number type that a formula may meet.
//
// A formula calls exp(x), tanh(x), softplus(x) ... without a namespace. For float and double the functions below are
// found (namespace phonaut::formula sees them); for dual numbers and SIMD registers, the overloads that stand beside
// those types are found through the argument.
#include <math.h>

#include <type_traits>

#include "phonaut/core/view.hpp"

namespace phonaut::math {

template <class S>
concept Real = std::is_same_v<S, float> || std::is_same_v<S, double>;

#define PHONAUT_MATH_OF_C(name)                                  \
  template <Real S>                                              \
  PHONAUT_HD PHONAUT_INLINE S name(S x) {                        \
    if constexpr (std::is_same_v<S, float>) return ::name##f(x); \
    else return ::name(x);                                       \
  }
PHONAUT_MATH_OF_C(exp)
PHONAUT_MATH_OF_C(expm1)
PHONAUT_MATH_OF_C(log)
PHONAUT_MATH_OF_C(log1p)
PHONAUT_MATH_OF_C(tanh)
PHONAUT_MATH_OF_C(sqrt)
PHONAUT_MATH_OF_C(sin)
PHONAUT_MATH_OF_C(cos)
PHONAUT_MATH_OF_C(erf)
#undef PHONAUT_MATH_OF_C

template <Real S>
PHONAUT_HD PHONAUT_INLINE S abs(S x) {
  if constexpr (std::is_same_v<S, float>) return ::fabsf(x);
  else return ::fabs(x);
}
template <Real S>
PHONAUT_HD PHONAUT_INLINE S pow(S x, S power) {
  if constexpr (std::is_same_v<S, float>) return ::powf(x, power);
  else return ::pow(x, power);
}
/// `a < b ? b : a`: a NaN in the first argument comes through, one in the second does not.
template <Real S>
PHONAUT_HD PHONAUT_INLINE S max(S a, S b) {
  return a < b ? b : a;
}
/// `b < a ? b : a`, with the same care for NaN.
template <Real S>
PHONAUT_HD PHONAUT_INLINE S min(S a, S b) {
  return b < a ? b : a;
}
/// `yes` where `condition`, else `no`; for SIMD registers it chooses lane by lane.
template <class S>
PHONAUT_HD PHONAUT_INLINE S select(bool condition, S yes, S no) {
  return condition ? yes : no;
}

/// 1 / (1 + exp(-x)). The exponential is taken of -|x|: it cannot overflow and keeps small results exact.
template <class S>
PHONAUT_HD PHONAUT_INLINE S sigmoid(S x) {
  const S e = exp(-abs(x));
  return (x < S(0) ? e : S(1)) / (S(1) + e);
}
/// log(1 + exp(x)), as max(x, 0) + log1p(exp(-|x|)).
template <class S>
PHONAUT_HD PHONAUT_INLINE S softplus(S x) {
  return max(x, S(0)) + log1p(exp(-abs(x)));
}

}  // namespace phonaut::math

/// Elementwise formulas: structs with `value(x)` and `slope(x)`, the derivative, both templates over the number type.
namespace phonaut::formula {
using namespace phonaut::math;
}
