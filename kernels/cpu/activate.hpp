#pragma once
// What a product does to a block of its results that is complete and still in the nearest cache.
#include "phonaut/ops/product_activation.hpp"
#include "simd_math.hpp"

#ifdef PHONAUT_ISA
namespace phonaut::kernel::PHONAUT_ISA {

/// c[i, j] = f(c[i, j]) for a block.
PHONAUT_INLINE void activate(Activation activation, float* c, long c_row, long rows, long columns) {
  with_formula(activation, [&](auto f) {
    for (long i = 0; i < rows; ++i) {
      float* row = c + i * c_row;
      long j = 0;
      for (; j + Vec::lanes <= columns; j += Vec::lanes) f.value(Vec::load(row + j)).store(row + j);
      if (j < columns) f.value(Vec::load(row + j, columns - j)).store(row + j, columns - j);
    }
  });
}

}  // namespace phonaut::kernel::PHONAUT_ISA
#endif
