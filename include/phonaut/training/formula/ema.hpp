#pragma once
#include "phonaut/training/formula/update.hpp"

namespace phonaut {
namespace kernel {

/// average += rest (p - average), where the "gradient" of the piece is p. In this form a constant p is a fixed point;
/// keep · average + rest · p, with both factors rounded to float, would be off by rounding / rest.
template <class S_>
struct EmaRule {
  using Scalar = S_;
  static constexpr int states = 0;
  S_ rest;

  template <class V>
  PHONAUT_HD PHONAUT_INLINE void operator()(V& average, V p, V*) const {
    average = average + V(rest) * (p - average);
  }
};
PHONAUT_UPDATE_KERNELS(EmaRule)

}  // namespace kernel
}  // namespace phonaut
