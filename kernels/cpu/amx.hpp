#pragma once
// Tiles of AMX: eight registers of 16 rows of 64 bytes, and an instruction that multiplies two of them as bfloat16.
//
// With PHONAUT_EMULATE_AMX the same functions are computed in plain C++, so that kernels made of tiles can be tested on
// processors without them (tests/CMakeLists.txt compiles gemm.cpp so). Source: Intel, "Instruction Set Extensions
// Programming Reference", chapter "Intel AMX".
#if defined(__AMX_BF16__) || defined(PHONAUT_EMULATE_AMX)
#define PHONAUT_AMX 1

#include <immintrin.h>

#include "isa.hpp"

#ifdef PHONAUT_ISA
namespace phonaut::kernel::PHONAUT_ISA {

/// A tile: so many rows of so many words, a float or a pair of bfloat16 each.
constexpr long amx_rows = 16, amx_words = 16;

#if defined(PHONAUT_EMULATE_AMX)

/// The tiles of a thread. Between configurations they do not exist; a processor then ends the program, here what is
/// stored is no number.
struct AmxTiles {
  float tile[8][amx_rows][amx_words];
  bool configured = false;
};
inline thread_local AmxTiles amx_state;

PHONAUT_INLINE void amx_configure() { amx_state.configured = true; }
PHONAUT_INLINE void amx_release() { amx_state.configured = false; }

template <int t>
PHONAUT_INLINE void amx_zero() {
  for (auto& row : amx_state.tile[t])
    for (float& word : row) word = 0;
}
template <int t>
PHONAUT_INLINE void amx_load(const float* from, long row) {
  for (long i = 0; i < amx_rows; ++i) __builtin_memcpy(amx_state.tile[t][i], from + i * row, 64);
}
template <int t>
PHONAUT_INLINE void amx_store(float* to, long row) {
  for (long i = 0; i < amx_rows; ++i)
    for (long j = 0; j < amx_words; ++j)
      to[i * row + j] = amx_state.configured ? amx_state.tile[t][i][j] : __builtin_nanf("");
}
/// c[i, j] += Σ_p of both halves of a[i, p] b[p, j]; subnormal numbers count as zero.
template <int c, int a, int b>
PHONAUT_INLINE void amx_multiply_add() {
  auto& tiles = amx_state.tile;
  const auto half = [](float word, int which) {
    unsigned bits = 0;
    __builtin_memcpy(&bits, &word, 4);
    bits = which == 0 ? bits << 16 : bits & 0xffff0000u;
    if ((bits & 0x7f800000u) == 0) bits &= 0x80000000u;
    float x = 0;
    __builtin_memcpy(&x, &bits, 4);
    return x;
  };
  for (long i = 0; i < amx_rows; ++i)
    for (long j = 0; j < amx_words; ++j) {
      float even = 0, odd = 0;
      for (long p = 0; p < amx_words; ++p) {
        even += half(tiles[a][i][p], 0) * half(tiles[b][p][j], 0);
        odd += half(tiles[a][i][p], 1) * half(tiles[b][p][j], 1);
      }
      tiles[c][i][j] += even + odd;
    }
}

#else

/// Gives the calling thread eight whole tiles, until amx_release().
PHONAUT_INLINE void amx_configure() {
  struct alignas(64) Configuration {
    unsigned char palette = 1, start_row = 0, reserved[14] = {};
    unsigned short row_bytes[16] = {64, 64, 64, 64, 64, 64, 64, 64};
    unsigned char rows[16] = {16, 16, 16, 16, 16, 16, 16, 16};
  };
  static_assert(sizeof(Configuration) == 64);
  const Configuration whole;
  _tile_loadconfig(&whole);
}
PHONAUT_INLINE void amx_release() { _tile_release(); }

// Which tile is part of the instruction; the compilers' functions take it as a literal, not as a template's argument.
template <int t>
PHONAUT_INLINE void amx_zero() {
  static_assert(t >= 0 && t < 4);
  if constexpr (t == 0) _tile_zero(0);
  if constexpr (t == 1) _tile_zero(1);
  if constexpr (t == 2) _tile_zero(2);
  if constexpr (t == 3) _tile_zero(3);
}
template <int t>
PHONAUT_INLINE void amx_load(const float* from, long row) {
  static_assert(t >= 4 && t < 8);
  const long bytes = row * static_cast<long>(sizeof(float));
  if constexpr (t == 4) _tile_loadd(4, from, bytes);
  if constexpr (t == 5) _tile_loadd(5, from, bytes);
  if constexpr (t == 6) _tile_loadd(6, from, bytes);
  if constexpr (t == 7) _tile_loadd(7, from, bytes);
}
template <int t>
PHONAUT_INLINE void amx_store(float* to, long row) {
  static_assert(t >= 0 && t < 4);
  const long bytes = row * static_cast<long>(sizeof(float));
  if constexpr (t == 0) _tile_stored(0, to, bytes);
  if constexpr (t == 1) _tile_stored(1, to, bytes);
  if constexpr (t == 2) _tile_stored(2, to, bytes);
  if constexpr (t == 3) _tile_stored(3, to, bytes);
}
template <int c, int a, int b>
PHONAUT_INLINE void amx_multiply_add() {
  static_assert((a == 4 || a == 5) && (b == 6 || b == 7) && c == 2 * (a - 4) + (b - 6));
  if constexpr (c == 0) _tile_dpbf16ps(0, 4, 6);
  if constexpr (c == 1) _tile_dpbf16ps(1, 4, 7);
  if constexpr (c == 2) _tile_dpbf16ps(2, 5, 6);
  if constexpr (c == 3) _tile_dpbf16ps(3, 5, 7);
}

#endif

/// Four tiles of sums, two above two: sums[i, j] = Σ_p a[i, p] b[p, j] over `words` pairs, a multiple of amx_words.
/// Without `lower` rows or `right` columns, half of them. Rows of `sums` are 2 * amx_words floats apart.
template <bool lower, bool right>
PHONAUT_INLINE void amx_sum(long words, const float* a, long a_row, const float* b, long b_row, float* sums) {
  amx_zero<0>();
  if constexpr (right) amx_zero<1>();
  if constexpr (lower) amx_zero<2>();
  if constexpr (lower && right) amx_zero<3>();
  for (long p = 0; p < words; p += amx_words) {
    amx_load<4>(a + p, a_row);
    amx_load<6>(b + p * b_row, b_row);
    amx_multiply_add<0, 4, 6>();
    if constexpr (right) {
      amx_load<7>(b + p * b_row + amx_words, b_row);
      amx_multiply_add<1, 4, 7>();
    }
    if constexpr (lower) {
      amx_load<5>(a + amx_rows * a_row + p, a_row);
      amx_multiply_add<2, 5, 6>();
      if constexpr (right) amx_multiply_add<3, 5, 7>();
    }
  }
  constexpr long row = 2 * amx_words;
  amx_store<0>(sums, row);
  if constexpr (right) amx_store<1>(sums + amx_words, row);
  if constexpr (lower) amx_store<2>(sums + amx_rows * row, row);
  if constexpr (lower && right) amx_store<3>(sums + amx_rows * row + amx_words, row);
}

}  // namespace phonaut::kernel::PHONAUT_ISA
#endif
#endif
