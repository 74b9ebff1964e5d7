#pragma once
// Tiles of the matrix product on AMX: 32 x 32 sums in four tiles (amx.hpp), then through the cache into c. Included by
// gemm_tile.hpp in the place of tiles in vector registers.
#include "amx.hpp"
#include "gemm_tile_output.hpp"

#if defined(PHONAUT_ISA) && defined(PHONAUT_AMX)
namespace phonaut::kernel::PHONAUT_ISA {

constexpr int tile_rows = 2 * amx_rows, tile_registers = 2;
constexpr long tile_columns = tile_registers * Vec::lanes;
static_assert(Vec::lanes == amx_words);

/// The sums of a tile; rows of panels behind `rows` are summed too, whatever they hold, and left alone afterwards.
struct AmxSums {
  alignas(64) float row[tile_rows][tile_columns];

  template <int rows, int registers>
  PHONAUT_INLINE void fill(long words, const float* a, long a_row, const float* b, long b_row) {
    amx_sum<(rows > amx_rows), (registers > 1)>(words, a, a_row, b, b_row, row[0]);
  }
};

/// c = (or +=) a b + bias for one tile. Panels of a are packed row by row (a_col is 1).
template <int rows, int registers>
void tile(long words, const float* a, long a_row, long /*a_col*/, const float* b, long b_row, const TileOutput& out) {
  AmxSums sums;
  sums.fill<rows, registers>(words, a, a_row, b, b_row);
  for (long j = 0; j < out.width; j += Vec::lanes) {
    const long n = out.width - j;
    if (n >= Vec::lanes) {
      const Vec bias = out.bias ? Vec::load(out.bias + j) : Vec(0.0f);
      for (long i = 0; i < rows; ++i) put(out.c + i * out.c_row + j, Vec::load(sums.row[i] + j) + bias, out.add);
    } else {
      const Vec bias = out.bias ? Vec::load(out.bias + j, n) : Vec(0.0f);
      for (long i = 0; i < rows; ++i) put(out.c + i * out.c_row + j, Vec::load(sums.row[i] + j) + bias, out.add, n);
    }
  }
}

/// The same with the roles of a and b exchanged: rows of the tile are columns of c.
template <int rows, int registers>
void transposed_tile(long words, const float* a, long a_row, long /*a_col*/, const float* b, long b_row,
                     const TileOutput& out) {
  AmxSums sums;
  sums.fill<rows, registers>(words, a, a_row, b, b_row);
  for (long i = 0; i < rows; i += Vec::lanes) {
    const long n = rows - i < Vec::lanes ? rows - i : Vec::lanes;
    const Vec bias = out.bias ? load_any(out.bias + i, n) : Vec(0.0f);
    for (long j = 0; j < out.width; j += Vec::lanes) {
      Vec block[Vec::lanes];
#pragma GCC unroll 16
      for (long l = 0; l < Vec::lanes; ++l) block[l] = Vec::load(sums.row[i + l] + j);
      transpose(block);
      float* c = out.c + j * out.c_row + i;
      const long valid = out.width - j;
#pragma GCC unroll 16
      for (long l = 0; l < Vec::lanes; ++l) {
        if (l >= valid) break;
        if (n == Vec::lanes) put(c + l * out.c_row, block[l] + bias, out.add);
        else put(c + l * out.c_row, block[l] + bias, out.add, n);
      }
    }
  }
}

}  // namespace phonaut::kernel::PHONAUT_ISA
#endif
