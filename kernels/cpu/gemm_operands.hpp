#pragma once
// What tiles of the matrix product multiply: words of one float, or of two bfloat16 that are neighbours in k.
//
// A product in bf16 rounds its operands while it packs them. The pass for AVX512-BF16 packs pairs, which one
// instruction multiplies and adds to a float; the other passes pack the rounded numbers as floats, for the same tiles
// as fp32. The pass for AVX512-BF16 knows no other words than pairs: products in fp32 are not its task.
#include "amx.hpp"
#include "vec.hpp"

#ifdef PHONAUT_ISA
namespace phonaut::kernel::PHONAUT_ISA {

#if defined(__AVX512BF16__)

constexpr long numbers_per_word = 2;

/// c + a₀ b₀ + a₁ b₁ in each lane.
PHONAUT_INLINE Vec multiply_add(Vec a, Vec b, Vec c) {
  const auto pairs = [](Vec x) PHONAUT_FORCE_INLINE { return (__m512bh)_mm512_castps_si512(x.v.data); };
  return Vec::Batch(_mm512_dpbf16_ps(c.v.data, pairs(a), pairs(b)));
}
/// x₀x₁ x₂x₃ … y₀y₁ …: words of numbers that lie one behind the other.
PHONAUT_INLINE Vec pairs_along(Vec x, Vec y) {
  return Vec::Batch(_mm512_castsi512_ps((__m512i)_mm512_cvtne2ps_pbh(y.v.data, x.v.data)));
}
/// x₀y₀ x₁y₁ …: words of numbers in two rows.
PHONAUT_INLINE Vec pairs_across(Vec x, Vec y) {
  const __m512i order = _mm512_set_epi16(31, 15, 30, 14, 29, 13, 28, 12, 27, 11, 26, 10, 25, 9, 24, 8, 23, 7, 22, 6, 21,
                                         5, 20, 4, 19, 3, 18, 2, 17, 1, 16, 0);
  return Vec::Batch(
      _mm512_castsi512_ps(_mm512_permutexvar_epi16(order, (__m512i)_mm512_cvtne2ps_pbh(y.v.data, x.v.data))));
}

#else

constexpr long numbers_per_word = 1;

PHONAUT_INLINE Vec multiply_add(Vec a, Vec b, Vec c) { return fma(a, b, c); }

#endif

/// Words that so many numbers are packed into, zeros included: on AMX whole tiles of them.
PHONAUT_INLINE constexpr long words_of(long numbers) {
#if defined(PHONAUT_AMX)
  constexpr long per_tile = numbers_per_word * amx_words;
  return (numbers + per_tile - 1) / per_tile * amx_words;
#else
  return (numbers + numbers_per_word - 1) / numbers_per_word;
#endif
}

/// Rounded to bfloat16 as the instruction does it: to nearest, ties to even; too large for bfloat16 gives infinity, a
/// subnormal number zero, a NaN a NaN.
PHONAUT_INLINE Vec rounded_to_bf16(Vec x) {
  const Ints bits = bits_of(x);
  // The lower half is cut off after adding half a place, or just less where the place is even.
  const Ints shifted = bits + Ints(0x7fff) + ((bits >> 16) & Ints(1));
  const Vec rounded = float_of_bits(shifted & Ints(static_cast<std::int32_t>(0xffff0000u)));
  const Vec normal = select(abs(x) < Vec(1.17549435e-38f), x * Vec(0.0f), rounded);
  return select(x == x, normal, x);
}

/// A float as an operand of a product that rounds its operands, or does not.
template <bool rounded>
PHONAUT_INLINE Vec operand(Vec x) {
  if constexpr (rounded) return rounded_to_bf16(x);
  else return x;
}

/// The first n numbers from p, any n; zeros behind them.
PHONAUT_INLINE Vec load_any(const float* p, long n) {
  return n >= Vec::lanes ? Vec::load(p) : n > 0 ? Vec::load(p, n) : Vec(0.0f);
}

/// A register of words from n numbers that lie one behind the other, with zeros behind them.
template <bool rounded>
PHONAUT_INLINE Vec words_along(const float* p, long n) {
#if defined(__AVX512BF16__)
  static_assert(rounded);
  return pairs_along(load_any(p, n), load_any(p + Vec::lanes, n - Vec::lanes));
#else
  return operand<rounded>(load_any(p, n));
#endif
}
/// Numbers that a register of words has.
constexpr long numbers_along = numbers_per_word * Vec::lanes;

}  // namespace phonaut::kernel::PHONAUT_ISA
#endif
