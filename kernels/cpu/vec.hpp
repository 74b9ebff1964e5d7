#pragma once
// One register of floats, and masks over it: what formulas (include/phonaut/ops/formula) and kernels compute with.
//
// A thin wrapper around xsimd::batch<float>. It is a type of our own, in the namespace of the instruction set, so that
// exp(x), tanh(x) ... inside a formula find our functions (simd_math.hpp) and never xsimd's, and so that no two passes
// share a symbol.
#include "isa.hpp"

#ifdef PHONAUT_ISA
#include <xsimd/xsimd.hpp>

#include <type_traits>

namespace phonaut::kernel::PHONAUT_ISA {

struct Mask;

struct Vec {
  using Batch = xsimd::batch<float>;
  static constexpr long lanes = Batch::size;
  Batch v;

  Vec() = default;
  PHONAUT_INLINE Vec(const Batch& b) : v(b) {}
  PHONAUT_INLINE Vec(float s) : v(s) {}
  template <class Number>
  requires(std::is_arithmetic_v<Number>) PHONAUT_INLINE explicit Vec(Number s) : v(static_cast<float>(s)) {}

  PHONAUT_INLINE static Vec load(const float* p) { return Batch::load_unaligned(p); }
  PHONAUT_INLINE void store(float* p) const { v.store_unaligned(p); }
  /// The first `n < lanes` elements; the other lanes are zero. Touches no memory behind them.
  PHONAUT_INLINE static Vec load(const float* p, long n);
  /// Writes the first `n < lanes` lanes.
  PHONAUT_INLINE void store(float* p, long n) const;

  PHONAUT_INLINE Vec& operator+=(Vec b) { return *this = v + b.v; }
  PHONAUT_INLINE Vec& operator-=(Vec b) { return *this = v - b.v; }
  PHONAUT_INLINE Vec& operator*=(Vec b) { return *this = v * b.v; }
  PHONAUT_INLINE Vec operator-() const { return -v; }
  PHONAUT_INLINE friend Vec operator+(Vec a, Vec b) { return a.v + b.v; }
  PHONAUT_INLINE friend Vec operator-(Vec a, Vec b) { return a.v - b.v; }
  PHONAUT_INLINE friend Vec operator*(Vec a, Vec b) { return a.v * b.v; }
  PHONAUT_INLINE friend Vec operator/(Vec a, Vec b) { return a.v / b.v; }
};

/// A truth value per lane.
struct Mask {
  using BatchBool = xsimd::batch_bool<float>;
  BatchBool m;

  PHONAUT_INLINE Mask(const BatchBool& b) : m(b) {}
  /// True in the first `n` lanes.
  PHONAUT_INLINE static Mask first(long n);

  PHONAUT_INLINE friend Mask operator&(Mask a, Mask b) { return a.m & b.m; }
  PHONAUT_INLINE friend Mask operator|(Mask a, Mask b) { return a.m | b.m; }
  PHONAUT_INLINE Mask operator~() const { return ~m; }
};

PHONAUT_INLINE Mask operator<(Vec a, Vec b) { return a.v < b.v; }
PHONAUT_INLINE Mask operator<=(Vec a, Vec b) { return a.v <= b.v; }
PHONAUT_INLINE Mask operator>(Vec a, Vec b) { return a.v > b.v; }
PHONAUT_INLINE Mask operator>=(Vec a, Vec b) { return a.v >= b.v; }
PHONAUT_INLINE Mask operator==(Vec a, Vec b) { return a.v == b.v; }

/// Lane by lane: `yes` where `m`, else `no`.
PHONAUT_INLINE Vec select(Mask m, Vec yes, Vec no) { return xsimd::select(m.m, yes.v, no.v); }
PHONAUT_INLINE bool any(Mask m) { return xsimd::any(m.m); }

/// a * b + c; rounded once where the instruction set has a fused multiply-add (all but baseline x86). Spelled out:
/// xsimd 8.1 has none for AVX-512 and leaves the fusion to the compiler's mood.
PHONAUT_INLINE Vec fma(Vec a, Vec b, Vec c) {
#if defined(__AVX512F__)
  return Vec::Batch(_mm512_fmadd_ps(a.v.data, b.v.data, c.v.data));
#elif defined(__FMA__)
  return Vec::Batch(_mm256_fmadd_ps(a.v.data, b.v.data, c.v.data));
#else
  return xsimd::fma(a.v, b.v, c.v);
#endif
}
/// c - a * b.
PHONAUT_INLINE Vec fnma(Vec a, Vec b, Vec c) {
#if defined(__AVX512F__)
  return Vec::Batch(_mm512_fnmadd_ps(a.v.data, b.v.data, c.v.data));
#elif defined(__FMA__)
  return Vec::Batch(_mm256_fnmadd_ps(a.v.data, b.v.data, c.v.data));
#else
  return xsimd::fnma(a.v, b.v, c.v);
#endif
}
/// `a < b ? b : a`: a NaN in the first argument comes through, one in the second does not. The same as math::max.
PHONAUT_INLINE Vec max(Vec a, Vec b) {
#if defined(__x86_64__)
  return xsimd::max(b.v, a.v);  // maxps returns its second operand if either is NaN
#else
  return select(a < b, b, a);
#endif
}
/// `b < a ? b : a`, with the same care for NaN.
PHONAUT_INLINE Vec min(Vec a, Vec b) {
#if defined(__x86_64__)
  return xsimd::min(b.v, a.v);
#else
  return select(b < a, b, a);
#endif
}
PHONAUT_INLINE Vec abs(Vec a) { return xsimd::abs(a.v); }
PHONAUT_INLINE Vec sqrt(Vec a) { return xsimd::sqrt(a.v); }

/// Bit i is lane i.
PHONAUT_INLINE unsigned bits_of(Mask m) {
#if defined(__AVX512F__)
  return static_cast<unsigned>(m.m.data);
#elif defined(__AVX2__)
  return static_cast<unsigned>(_mm256_movemask_ps(m.m.data));
#elif defined(__SSE2__)
  return static_cast<unsigned>(_mm_movemask_ps(m.m.data));
#else
  alignas(64) float lane[Vec::lanes];
  select(m, Vec(1.0f), Vec(0.0f)).store(lane);
  unsigned bits = 0;
  for (long i = 0; i < Vec::lanes; ++i) bits |= static_cast<unsigned>(lane[i] != 0) << i;
  return bits;
#endif
}

using Ints = xsimd::batch<std::int32_t>;
static_assert(Ints::size == Vec::lanes);

PHONAUT_INLINE Ints bits_of(Vec x) { return xsimd::bitwise_cast<Ints>(x.v); }
PHONAUT_INLINE Vec float_of_bits(Ints i) { return xsimd::bitwise_cast<Vec::Batch>(i); }

#if defined(__AVX512F__)

PHONAUT_INLINE __mmask16 first_lanes(long n) { return static_cast<__mmask16>((1u << n) - 1u); }
PHONAUT_INLINE Vec Vec::load(const float* p, long n) { return Batch(_mm512_maskz_loadu_ps(first_lanes(n), p)); }
PHONAUT_INLINE void Vec::store(float* p, long n) const { _mm512_mask_storeu_ps(p, first_lanes(n), v.data); }
PHONAUT_INLINE Mask Mask::first(long n) { return BatchBool(first_lanes(n)); }

#elif defined(__AVX2__)

PHONAUT_INLINE __m256i first_lanes(long n) {
  const __m256i index = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
  return _mm256_cmpgt_epi32(_mm256_set1_epi32(static_cast<int>(n)), index);
}
PHONAUT_INLINE Vec Vec::load(const float* p, long n) { return Batch(_mm256_maskload_ps(p, first_lanes(n))); }
PHONAUT_INLINE void Vec::store(float* p, long n) const { _mm256_maskstore_ps(p, first_lanes(n), v.data); }
PHONAUT_INLINE Mask Mask::first(long n) { return BatchBool(_mm256_castsi256_ps(first_lanes(n))); }

#else

PHONAUT_INLINE Vec Vec::load(const float* p, long n) {
  alignas(64) float lane[lanes] = {};
  for (long i = 0; i < n; ++i) lane[i] = p[i];
  return Batch::load_aligned(lane);
}
PHONAUT_INLINE void Vec::store(float* p, long n) const {
  alignas(64) float lane[lanes];
  v.store_aligned(lane);
  for (long i = 0; i < n; ++i) p[i] = lane[i];
}
PHONAUT_INLINE Mask Mask::first(long n) {
  alignas(64) float index[Vec::lanes];
  for (long i = 0; i < Vec::lanes; ++i) index[i] = static_cast<float>(i);
  return Vec(Vec::Batch::load_aligned(index)) < Vec(static_cast<float>(n));
}

#endif

/// Exchanges rows and columns of a square of numbers, one row per register.
PHONAUT_INLINE void transpose(Vec (&x)[Vec::lanes]) {
#if defined(__AVX512F__)
  __m512 a[16], b[16];
#pragma GCC unroll 8
  for (long i = 0; i < 8; ++i) {  // pairs of rows
    a[2 * i] = _mm512_unpacklo_ps(x[2 * i].v.data, x[2 * i + 1].v.data);
    a[2 * i + 1] = _mm512_unpackhi_ps(x[2 * i].v.data, x[2 * i + 1].v.data);
  }
#pragma GCC unroll 4
  for (long i = 0; i < 4; ++i) {  // groups of four rows: b[4 i + c] has column c of each 128-bit quarter
    const auto low = [&](long j) { return _mm512_castps_pd(a[4 * i + j]); };
    b[4 * i] = _mm512_castpd_ps(_mm512_unpacklo_pd(low(0), low(2)));
    b[4 * i + 1] = _mm512_castpd_ps(_mm512_unpackhi_pd(low(0), low(2)));
    b[4 * i + 2] = _mm512_castpd_ps(_mm512_unpacklo_pd(low(1), low(3)));
    b[4 * i + 3] = _mm512_castpd_ps(_mm512_unpackhi_pd(low(1), low(3)));
  }
#pragma GCC unroll 4
  for (int c = 0; c < 4; ++c) {  // quarters: column 4 q + c gathers quarter q of four groups
    const __m512 even01 = _mm512_shuffle_f32x4(b[c], b[4 + c], 0x88),
                 odd01 = _mm512_shuffle_f32x4(b[c], b[4 + c], 0xdd);
    const __m512 even23 = _mm512_shuffle_f32x4(b[8 + c], b[12 + c], 0x88),
                 odd23 = _mm512_shuffle_f32x4(b[8 + c], b[12 + c], 0xdd);
    x[c] = Vec::Batch(_mm512_shuffle_f32x4(even01, even23, 0x88));
    x[8 + c] = Vec::Batch(_mm512_shuffle_f32x4(even01, even23, 0xdd));
    x[4 + c] = Vec::Batch(_mm512_shuffle_f32x4(odd01, odd23, 0x88));
    x[12 + c] = Vec::Batch(_mm512_shuffle_f32x4(odd01, odd23, 0xdd));
  }
#elif defined(__AVX2__)
  __m256 a[8], b[8];
#pragma GCC unroll 4
  for (long i = 0; i < 4; ++i) {
    a[2 * i] = _mm256_unpacklo_ps(x[2 * i].v.data, x[2 * i + 1].v.data);
    a[2 * i + 1] = _mm256_unpackhi_ps(x[2 * i].v.data, x[2 * i + 1].v.data);
  }
#pragma GCC unroll 2
  for (long i = 0; i < 2; ++i) {
    b[4 * i] = _mm256_shuffle_ps(a[4 * i], a[4 * i + 2], 0x44);
    b[4 * i + 1] = _mm256_shuffle_ps(a[4 * i], a[4 * i + 2], 0xee);
    b[4 * i + 2] = _mm256_shuffle_ps(a[4 * i + 1], a[4 * i + 3], 0x44);
    b[4 * i + 3] = _mm256_shuffle_ps(a[4 * i + 1], a[4 * i + 3], 0xee);
  }
#pragma GCC unroll 4
  for (int c = 0; c < 4; ++c) {
    x[c] = Vec::Batch(_mm256_permute2f128_ps(b[c], b[4 + c], 0x20));
    x[4 + c] = Vec::Batch(_mm256_permute2f128_ps(b[c], b[4 + c], 0x31));
  }
#elif defined(__SSE2__)
  _MM_TRANSPOSE4_PS(x[0].v.data, x[1].v.data, x[2].v.data, x[3].v.data);
#else
  alignas(64) float from[Vec::lanes][Vec::lanes], to[Vec::lanes][Vec::lanes];
  for (long i = 0; i < Vec::lanes; ++i) x[i].store(from[i]);
  for (long i = 0; i < Vec::lanes; ++i)
    for (long j = 0; j < Vec::lanes; ++j) to[j][i] = from[i][j];
  for (long i = 0; i < Vec::lanes; ++i) x[i] = Vec::load(to[i]);
#endif
}

/// Folds the lanes in halves, in the same order for every call.
template <class Combine>
PHONAUT_INLINE float fold(Vec a, const Combine& combine) {
  alignas(64) float lane[Vec::lanes];
  a.v.store_aligned(lane);
  for (long half = Vec::lanes / 2; half > 0; half /= 2)
    for (long i = 0; i < half; ++i) lane[i] = combine(lane[i], lane[i + half]);
  return lane[0];
}
/// Sum of the lanes.
PHONAUT_INLINE float sum(Vec a) {
#if defined(__AVX512F__)
  return _mm512_reduce_add_ps(a.v.data);
#else
  return fold(a, [](float x, float y) { return x + y; });
#endif
}
/// Largest lane; a NaN may be lost.
PHONAUT_INLINE float largest(Vec a) {
#if defined(__AVX512F__)
  return _mm512_reduce_max_ps(a.v.data);
#else
  return fold(a, [](float x, float y) { return x < y ? y : x; });
#endif
}

/// `*p` = `value`, or += where `add`: how every kernel writes into a Sink.
PHONAUT_INLINE void put(float* p, Vec value, bool add) { (add ? Vec::load(p) + value : value).store(p); }
PHONAUT_INLINE void put(float* p, Vec value, bool add, long n) { (add ? Vec::load(p, n) + value : value).store(p, n); }

}  // namespace phonaut::kernel::PHONAUT_ISA
#endif
