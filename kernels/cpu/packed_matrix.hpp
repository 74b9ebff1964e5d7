#pragma once
// Matrices of weights that were rounded to bfloat16 or to bytes before (core/packed_weights.hpp). Light:
// per-instruction-set kernel files include it.
#include <cstdint>

#include "phonaut/core/backend.hpp"
#include "phonaut/core/view.hpp"

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

/// The (rows, k) numbers at `data` as slivers for products in fp32 with that instruction set (gemm_pack.hpp: block of k
/// by block of k, in each sliver by sliver); null where `weights` has none.
const float* find_slivers(const PackedWeights* weights, const float* data, long rows, long k, Isa isa) noexcept;

/// Rows of bytes are taken so many at a time, and four numbers of a row come together. Where rows or numbers end, zeros
/// follow.
constexpr long byte_columns = 32, quad = 4;

/// Numbers 4 p … 4 p + 3 of row 32 s + j are at quads[((s Q + p) 32 + j) 4 …], Q being the quads of a row: what a
/// product multiplies next lies next.
struct PackedBytes {
  const std::int8_t* quads = nullptr;
  const float* scale = nullptr;         ///< of each row, padded as rows are
  const std::int32_t* shift = nullptr;  ///< of each row, -128 times the sum of its bytes

  PHONAUT_INLINE static constexpr long quads_of(long k) { return (k + quad - 1) / quad; }
  PHONAUT_INLINE static constexpr long padded(long rows) {
    return (rows + byte_columns - 1) / byte_columns * byte_columns;
  }
};

/// The bytes of the (rows, k) numbers at `data`; nothing where `weights` has none.
PackedBytes find_bytes(const PackedWeights* weights, const float* data, long rows, long k) noexcept;

}  // namespace phonaut::kernel
