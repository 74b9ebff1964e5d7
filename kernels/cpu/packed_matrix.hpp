#pragma once
// Matrices of weights that were rounded to bfloat16 before (core/packed_weights.hpp). Light: per-instruction-set kernel
// files include it.
#include "phonaut/core/backend.hpp"

namespace phonaut::kernel {

/// Numbers of a row come in whole blocks of so many, with zeros behind the last one, and rows behind the last row can
/// be read: what the tiles of AMX ask for.
constexpr long packed_block = 32, packed_rows_behind = 31;

/// Rows of bfloat16, two of them to a float's place, one behind the other.
struct PackedMatrix {
  const float* words = nullptr;
  long row = 0;  ///< from one row to the next, in places
};

/// The packed form of the (rows, k) numbers at `data`; nothing where `weights` has none.
PackedMatrix find_packed(const PackedWeights* weights, const float* data, long rows, long k) noexcept;

}  // namespace phonaut::kernel
