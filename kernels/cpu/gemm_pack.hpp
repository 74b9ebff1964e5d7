#pragma once
// Packing for tiles of the matrix product: b into slivers as wide as a tile; a, where it must be rounded, into panels.
#include "gemm_tile.hpp"

#ifdef PHONAUT_ISA
namespace phonaut::kernel::PHONAUT_ISA {

/// Columns [0, n) of b, n <= tile_columns, as one sliver: word p at to + p * sliver_width(n), padded with zeros.
PHONAUT_INLINE constexpr long sliver_width(long n) { return (n + Vec::lanes - 1) / Vec::lanes * Vec::lanes; }

/// Word p of `columns` <= Vec::lanes columns, from a matrix of k rows.
template <bool rounded>
PHONAUT_INLINE Vec words_across(const float* b, long b_row, long p, [[maybe_unused]] long k, long columns) {
#if defined(__AVX512BF16__)
  static_assert(rounded);
  if (2 * p >= k) return Vec(0.0f);
  const float* row = b + 2 * p * b_row;
  return pairs_across(load_any(row, columns), 2 * p + 1 < k ? load_any(row + b_row, columns) : Vec(0.0f));
#else
  return operand<rounded>(load_any(b + p * b_row, columns));
#endif
}

/// k rows of n <= tile_columns numbers with stride b_row between rows, b_col within; one of both is 1.
template <bool rounded>
void pack_sliver(long k, long n, const float* b, long b_row, long b_col, float* to) {
  const long width = sliver_width(n), words = words_of(k);
  for (long j = 0; j < n; j += Vec::lanes) {
    const long columns = n - j < Vec::lanes ? n - j : Vec::lanes;
    const float* from = b + j * b_col;
    if (b_col == 1 || k == 1) {
      if (b_col != 1) {  // a single row
        alignas(64) float row[Vec::lanes];
        for (long l = 0; l < columns; ++l) row[l] = from[l * b_col];
        for (long p = 0; p < words; ++p) words_across<rounded>(row, 0, p, 1, columns).store(to + p * width + j);
      } else if (columns == Vec::lanes) {
        for (long p = 0; p < words; ++p) words_across<rounded>(from, b_row, p, k, Vec::lanes).store(to + p * width + j);
      } else {
        for (long p = 0; p < words; ++p) words_across<rounded>(from, b_row, p, k, columns).store(to + p * width + j);
      }
      continue;
    }
    long p = 0;  // numbers
    if (columns == Vec::lanes)
      for (; p + numbers_along <= k; p += numbers_along) {
        Vec block[Vec::lanes];
#pragma GCC unroll 16
        for (long l = 0; l < Vec::lanes; ++l) block[l] = words_along<rounded>(from + l * b_col + p, numbers_along);
        transpose(block);
#pragma GCC unroll 16
        for (long l = 0; l < Vec::lanes; ++l) block[l].store(to + (p / numbers_per_word + l) * width + j);
      }
    for (; p < k; p += numbers_along) {
      const long rows = k - p < numbers_along ? k - p : numbers_along;
      Vec block[Vec::lanes];
      for (long l = 0; l < Vec::lanes; ++l)
        block[l] = l < columns ? words_along<rounded>(from + l * b_col + p, rows) : Vec(0.0f);
      transpose(block);
      for (long l = 0; l < words_of(rows); ++l) block[l].store(to + (p / numbers_per_word + l) * width + j);
    }
  }
}

/// All columns of a block of b, sliver after sliver, each of words_of(k) rows.
template <bool rounded>
void pack_block(long k, long columns, const float* b, long b_row, long b_col, float* to) {
  const long words = words_of(k);
  long j = 0;
  if (b_col == 1) {
    // Row by row: whole slivers are filled side by side, so that memory is read in the order in which it lies.
    j = columns / tile_columns * tile_columns;
    for (long p = 0; p < words; ++p)
      for (long i = 0; i < j; i += tile_columns)
#pragma GCC unroll 4
        for (int r = 0; r < tile_registers; ++r)
          words_across<rounded>(b + i + r * Vec::lanes, b_row, p, k, Vec::lanes)
              .store(to + i * words + p * tile_columns + r * Vec::lanes);
  }
  for (; j < columns; j += tile_columns) {
    const long n = columns - j < tile_columns ? columns - j : tile_columns;
    pack_sliver<rounded>(k, n, b + j * b_col, b_row, b_col, to + j * words);
  }
}

/// How words of a panel lie.
struct Panel {
  const float* data;
  long row, col;
};

/// Rounds `rows` <= tile_rows rows of a, k numbers each, into `to`: row by row, `to_row` words apart (at least
/// words_of(k), in whole registers), or word by word where columns of a are consecutive and tiles can take them so.
PHONAUT_INLINE Panel pack_panel(long rows, long k, const float* a, long a_row, long a_col, float* to, long to_row) {
  if (a_col == 1 || k == 1) {
    for (long i = 0; i < rows; ++i)
      for (long p = 0; p < k; p += numbers_along)
        words_along<true>(a + i * a_row + p, k - p).store(to + i * to_row + p / numbers_per_word);
    return {to, to_row, 1};
  }
#if defined(PHONAUT_AMX)
  for (long i = 0; i < rows; i += Vec::lanes)
    for (long p = 0; p < words_of(k); p += Vec::lanes) {
      Vec block[Vec::lanes];
      for (long l = 0; l < Vec::lanes; ++l)
        block[l] = words_across<true>(a + i, a_col, p + l, k, rows - i < Vec::lanes ? rows - i : Vec::lanes);
      transpose(block);
      for (long l = 0; l < Vec::lanes; ++l) block[l].store(to + (i + l) * to_row + p);
    }
  return {to, to_row, 1};
#else
  for (long p = 0; p < words_of(k); ++p) words_across<true>(a, a_col, p, k, rows).store(to + p * Vec::lanes);
  return {to, 1, Vec::lanes};
#endif
}

}  // namespace phonaut::kernel::PHONAUT_ISA
#endif
