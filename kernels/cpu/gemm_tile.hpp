#pragma once
// The inner part of the matrix product: a tile of c that stays in registers while one pass over k feeds it.
#include "amx.hpp"
#if defined(PHONAUT_AMX)
#include "gemm_tile_amx.hpp"
#else
#include "gemm_tile_vector.hpp"
#endif

#ifdef PHONAUT_ISA
namespace phonaut::kernel::PHONAUT_ISA {

using Tile = void (*)(long k, const float* a, long a_row, long a_col, const float* b, long b_row, const TileOutput&);

/// tiles[rows - 1][registers - 1]
struct TileTable {
  Tile entry[tile_rows][tile_registers];
};
template <bool transposed, int rows = 1>
PHONAUT_INLINE constexpr void fill_tiles(TileTable& table) {
  static_assert(tile_registers == 2);
  if constexpr (transposed) {
    table.entry[rows - 1][0] = transposed_tile<rows, 1>;
    table.entry[rows - 1][1] = transposed_tile<rows, 2>;
  } else {
    table.entry[rows - 1][0] = tile<rows, 1>;
    table.entry[rows - 1][1] = tile<rows, 2>;
  }
  if constexpr (rows < tile_rows) fill_tiles<transposed, rows + 1>(table);
}
template <bool transposed>
constexpr TileTable make_tiles() {
  TileTable table{};
  fill_tiles<transposed>(table);
  return table;
}

/// The tile of that many rows and registers; compiled once, in gemm.cpp, for kernels that walk over their own blocks.
Tile tile_of(long rows, long registers);

PHONAUT_INLINE void copy(const float* from, long n, float* to) {
  long i = 0;
  for (; i + Vec::lanes <= n; i += Vec::lanes) Vec::load(from + i).store(to + i);
  if (i < n) Vec::load(from + i, n - i).store(to + i, n - i);
}

}  // namespace phonaut::kernel::PHONAUT_ISA
#endif
