#pragma once
// Conventions about rows that an op and its kernels share. Light: per-instruction-set kernel files include it.
#include "phonaut/core/view.hpp"

namespace phonaut::kernel {

/// Rows that a backward kernel sums up together (gradients of gains and biases) before the blocks are added in order.
/// Fixed, so that results do not depend on the number of threads.
constexpr long rows_per_block = 64;
PHONAUT_HD PHONAUT_INLINE constexpr long row_blocks(long rows) { return (rows + rows_per_block - 1) / rows_per_block; }

/// Entries of row `r` that take part: lengths[r / rows_per_length], or all `width` where lengths is null.
PHONAUT_HD PHONAUT_INLINE long row_length(const long* lengths, long rows_per_length, long width, long r) {
  return lengths ? lengths[r / rows_per_length] : width;
}

}  // namespace phonaut::kernel
