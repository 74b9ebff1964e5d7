#pragma once
// Where a tile of the matrix product goes.
#include "gemm_operands.hpp"

#ifdef PHONAUT_ISA
namespace phonaut::kernel::PHONAUT_ISA {

/// What a tile does with its sums.
struct TileOutput {
  float* c;
  long c_row;
  const float* bias;  ///< of the tile's first column (of c), or null
  bool add;
  long width;  ///< valid columns of the tile
};

}  // namespace phonaut::kernel::PHONAUT_ISA
#endif
