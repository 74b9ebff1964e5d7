#pragma once
// Tiles of the matrix product in vector registers. Included by gemm_tile.hpp.
#include "gemm_tile_output.hpp"

#ifdef PHONAUT_ISA
namespace phonaut::kernel::PHONAUT_ISA {

// Rows x registers of a tile: as many accumulators as leave room for one row of b and one number of a.
#if defined(__AVX512F__)
constexpr int tile_rows = 14, tile_registers = 2;  // 28 of 32 registers
#elif defined(__AVX2__)
constexpr int tile_rows = 6, tile_registers = 2;  // 12 of 16
#else
constexpr int tile_rows = 4, tile_registers = 2;  // 8 of 16: products need a register of their own without FMA
#endif
constexpr long tile_columns = tile_registers * Vec::lanes;
static_assert(tile_rows <= Vec::lanes, "a transposed tile is written by rows of one register");

/// acc[i][j] += sum over p < k of a[i * a_row + p * a_col] * b[p * b_row + j], in words (gemm_operands.hpp). `fetch`: a
/// comes from memory, and what lies behind its rows is used next; it is asked for in the order in which it lies, which
/// is twice as fast as `rows` streams.
template <int rows, int registers, bool fetch = false>
PHONAUT_INLINE void add_to_tile(long k, const float* a, long a_row, long a_col, const float* b, long b_row,
                                Vec (&acc)[rows][registers]) {
  // Every third row has a pointer; the two behind it are reached by scaled addressing. 14 pointers would not fit into
  // the general registers.
  constexpr int pointers = (rows + 2) / 3;
  const float* row[pointers];
#pragma GCC unroll 16
  for (int i = 0; i < pointers; ++i) row[i] = a + 3L * i * a_row;
  const float* ahead = a + rows * a_row;
  for (long p = 0; p < k; ++p) {
    if constexpr (fetch) __builtin_prefetch(ahead), ahead += rows;
    Vec bv[registers];
#pragma GCC unroll 4
    for (int r = 0; r < registers; ++r) bv[r] = Vec::load(b + r * Vec::lanes);
#pragma GCC unroll 16
    for (int i = 0; i < rows; ++i) {
      const Vec av(row[i / 3][(i % 3) * a_row]);
#pragma GCC unroll 4
      for (int r = 0; r < registers; ++r) acc[i][r] = multiply_add(av, bv[r], acc[i][r]);
    }
#pragma GCC unroll 16
    for (int i = 0; i < pointers; ++i) row[i] += a_col;
    b += b_row;
  }
}

/// The same sum, from 0.
template <int rows, int registers, bool fetch = false>
PHONAUT_INLINE void accumulate_tile(long k, const float* a, long a_row, long a_col, const float* b, long b_row,
                                    Vec (&acc)[rows][registers]) {
#pragma GCC unroll 16
  for (int i = 0; i < rows; ++i)
#pragma GCC unroll 4
    for (int r = 0; r < registers; ++r) acc[i][r] = Vec(0.0f);
  add_to_tile<rows, registers, fetch>(k, a, a_row, a_col, b, b_row, acc);
}

/// c = (or +=) a b + bias for one tile.
template <int rows, int registers>
void tile(long k, const float* a, long a_row, long a_col, const float* b, long b_row, const TileOutput& out) {
  Vec acc[rows][registers];
  accumulate_tile<rows, registers>(k, a, a_row, a_col, b, b_row, acc);
  float* c = out.c;
  if (out.width == registers * Vec::lanes) {
    if (out.bias) {
      Vec bias[registers];
#pragma GCC unroll 4
      for (int r = 0; r < registers; ++r) bias[r] = Vec::load(out.bias + r * Vec::lanes);
#pragma GCC unroll 16
      for (int i = 0; i < rows; ++i)
#pragma GCC unroll 4
        for (int r = 0; r < registers; ++r) acc[i][r] += bias[r];
    }
#pragma GCC unroll 16
    for (int i = 0; i < rows; ++i, c += out.c_row)
#pragma GCC unroll 4
      for (int r = 0; r < registers; ++r) put(c + r * Vec::lanes, acc[i][r], out.add);
  } else {
#pragma GCC unroll 4
    for (int r = 0; r < registers; ++r) {
      long n = out.width - r * Vec::lanes;
      if (n <= 0) break;
      n = n < Vec::lanes ? n : Vec::lanes;
      const bool whole = n == Vec::lanes;
      const long at = r * Vec::lanes;
      Vec bias(0.0f);
      if (out.bias) bias = whole ? Vec::load(out.bias + at) : Vec::load(out.bias + at, n);
#pragma GCC unroll 16
      for (int i = 0; i < rows; ++i) {
        float* to = out.c + i * out.c_row + at;
        if (whole) put(to, acc[i][r] + bias, out.add);
        else put(to, acc[i][r] + bias, out.add, n);
      }
    }
  }
}

/// The same with the roles of a and b exchanged: rows of the tile are columns of c. `width` counts the tile's columns,
/// which are rows of c; `bias` belongs to the tile's rows.
template <int rows, int registers>
void transposed_tile(long k, const float* a, long a_row, long a_col, const float* b, long b_row,
                     const TileOutput& out) {
  Vec acc[rows][registers];
  accumulate_tile<rows, registers, true>(k, a, a_row, a_col, b, b_row, acc);
  constexpr bool whole = rows == Vec::lanes;
  Vec bias(0.0f);
  if (out.bias) bias = whole ? Vec::load(out.bias) : Vec::load(out.bias, rows);
#pragma GCC unroll 4
  for (int r = 0; r < registers; ++r) {
    Vec block[Vec::lanes];
#pragma GCC unroll 16
    for (int i = 0; i < Vec::lanes; ++i) block[i] = i < rows ? acc[i < rows ? i : 0][r] : Vec(0.0f);
    transpose(block);
    float* c = out.c + r * Vec::lanes * out.c_row;
    const long valid = out.width - r * Vec::lanes;
#pragma GCC unroll 16
    for (int l = 0; l < Vec::lanes; ++l) {
      if (l >= valid) break;
      if constexpr (whole) put(c + l * out.c_row, block[l] + bias, out.add);
      else put(c + l * out.c_row, block[l] + bias, out.add, rows);
    }
  }
}

}  // namespace phonaut::kernel::PHONAUT_ISA
#endif
