#pragma once
// The matrix product where both sides keep k consecutive and one of them has few rows: dot products of whole rows, read
// where they are. Nothing is packed, which would cost more than the product.
#include "gemm_operands.hpp"

#ifdef PHONAUT_ISA
namespace phonaut::kernel::PHONAUT_ISA {

// Accumulators for dot_rows x dot_columns dot products at a time.
#if defined(__AVX512F__)
constexpr int dot_rows = 4, dot_columns = 4;
#else
constexpr int dot_rows = 2, dot_columns = 4;
#endif

/// The sums of the lanes of four registers.
PHONAUT_INLINE void sum_each(const Vec (&x)[4], float (&to)[4]) {
#if defined(__x86_64__)
  __m128 part[4];
#pragma GCC unroll 4
  for (int i = 0; i < 4; ++i) {
#if defined(__AVX512F__)
    const __m256 half = _mm256_add_ps(_mm512_castps512_ps256(x[i].v.data), _mm512_extractf32x8_ps(x[i].v.data, 1));
    part[i] = _mm_add_ps(_mm256_castps256_ps128(half), _mm256_extractf128_ps(half, 1));
#elif defined(__AVX2__)
    part[i] = _mm_add_ps(_mm256_castps256_ps128(x[i].v.data), _mm256_extractf128_ps(x[i].v.data, 1));
#else
    part[i] = x[i].v.data;
#endif
  }
  _MM_TRANSPOSE4_PS(part[0], part[1], part[2], part[3]);
  _mm_storeu_ps(to, _mm_add_ps(_mm_add_ps(part[0], part[1]), _mm_add_ps(part[2], part[3])));
#else
  for (int i = 0; i < 4; ++i) to[i] = sum(x[i]);
#endif
}

/// c[i * c_row + j * c_col] = (or +=) <a_i, b_j> + bias, for `rows` rows a_i and `columns` rows b_j.
///
/// Meanwhile columns * k numbers behind b_j are fetched, which are the next rows where they lie without gaps: one after
/// the other, as memory likes it. Read as `columns` streams that end after k numbers, it gives half as much.
/// `packed`: rows of b are words already, with zeros behind k (packed_matrix.hpp), and b_row counts places of words.
template <bool rounded, int rows, int columns, bool packed>
void dot_tile(long k, const float* a, long a_row, const float* b, long b_row, float* c, long c_row, long c_col,
              const float* bias_of_row, const float* bias_of_column, bool add) {
  Vec acc[rows][4];
#pragma GCC unroll 4
  for (int i = 0; i < rows; ++i)
#pragma GCC unroll 4
    for (int j = 0; j < 4; ++j) acc[i][j] = Vec(0.0f);
  const float* const ahead = b + columns * b_row;
  const auto step = [&](long p, long n) PHONAUT_FORCE_INLINE {
    const auto load = [&](const float* from) PHONAUT_FORCE_INLINE { return words_along<rounded>(from, n); };
#pragma GCC unroll 4
    for (int j = 0; j < columns * (packed ? 1 : numbers_per_word); ++j)
      __builtin_prefetch(ahead + (packed ? columns * p / numbers_per_word : columns * p) + j * Vec::lanes);
    Vec bv[columns];
#pragma GCC unroll 4
    for (int j = 0; j < columns; ++j)
      bv[j] = packed ? Vec::load(b + j * b_row + p / numbers_per_word) : load(b + j * b_row + p);
#pragma GCC unroll 4
    for (int i = 0; i < rows; ++i) {
      const Vec av = load(a + i * a_row + p);
#pragma GCC unroll 4
      for (int j = 0; j < columns; ++j) acc[i][j] = multiply_add(av, bv[j], acc[i][j]);
    }
  };
  long p = 0;
  for (; p + numbers_along <= k; p += numbers_along) step(p, numbers_along);
  if (p < k) step(p, k - p);
#pragma GCC unroll 4
  for (int i = 0; i < rows; ++i) {
    float total[4];
    sum_each(acc[i], total);
    for (int j = 0; j < columns; ++j) {
      float y = total[j];
      if (bias_of_row) y += bias_of_row[i];
      if (bias_of_column) y += bias_of_column[j];
      float& to = c[i * c_row + j * c_col];
      to = add ? to + y : y;
    }
  }
}

using DotTile = void (*)(long k, const float* a, long a_row, const float* b, long b_row, float* c, long c_row,
                         long c_col, const float* bias_of_row, const float* bias_of_column, bool add);
struct DotTable {
  DotTile entry[dot_rows][dot_columns];
};
template <bool rounded, bool packed, int rows = 1>
constexpr void fill_dot_tiles(DotTable& table) {
  static_assert(dot_columns == 4);
  table.entry[rows - 1][0] = dot_tile<rounded, rows, 1, packed>;
  table.entry[rows - 1][1] = dot_tile<rounded, rows, 2, packed>;
  table.entry[rows - 1][2] = dot_tile<rounded, rows, 3, packed>;
  table.entry[rows - 1][3] = dot_tile<rounded, rows, 4, packed>;
  if constexpr (rows < dot_rows) fill_dot_tiles<rounded, packed, rows + 1>(table);
}
template <bool rounded, bool packed>
constexpr DotTable make_dot_tiles() {
  DotTable table{};
  fill_dot_tiles<rounded, packed>(table);
  return table;
}

}  // namespace phonaut::kernel::PHONAUT_ISA
#endif
