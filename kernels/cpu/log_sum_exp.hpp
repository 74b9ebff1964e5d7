#pragma once
// log Σ exp over a row: what losses over classes normalise with.
#include "partial.hpp"
#include "simd_math.hpp"

#ifdef PHONAUT_ISA
namespace phonaut::kernel::PHONAUT_ISA {

/// log Σ exp x over a row of at least one number, in double: exponentials to an ulp of float, their sum wide.
PHONAUT_INLINE double log_sum_exp(const float* x, long width) {
  Vec top(-infinity());
  each_register(width, [&](long i, long n) PHONAUT_FORCE_INLINE {
    top = max(top, n == Vec::lanes ? Vec::load(x + i) : select(Mask::first(n), Vec::load(x + i, n), Vec(-infinity())));
  });
  const float highest = largest(top);
  const double sum_of_exp = row_total(width, [&](Vec part, long i, long n) PHONAUT_FORCE_INLINE {
    return part + keep_some(exp(load_some(x + i, n) - Vec(highest)), n);
  });
  return static_cast<double>(highest) + __builtin_log(sum_of_exp);
}

}  // namespace phonaut::kernel::PHONAUT_ISA
#endif
