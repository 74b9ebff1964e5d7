#pragma once
// Elementary functions of a register of floats: own polynomials (xsimd's are slower, and its AVX-512 log is broken in
// 8.1). Each polynomial is a Remez fit of the quantity in the comment, minimising the relative error of the result.
//
// Bounds in units in the last place, over every finite float, on every instruction set (test_simd_math "[slow]"):
//   exp 1.04   expm1 2   log 1   log1p 1.01   sigmoid 2.5   softplus 2   tanh 2.7   erf 1.3   sin, cos 2.4
// NaN gives NaN; infinities give the limits; results in the denormal range are gradual (never flushed); arguments in
// the denormal range are exact. log and log1p give -inf at the pole and NaN below it. Zero keeps its sign except in
// log1p, which gives +0 for -0.
#include "vec.hpp"

#ifdef PHONAUT_ISA
#include <math.h>

#include <limits>

namespace phonaut::kernel::PHONAUT_ISA {

PHONAUT_INLINE constexpr float infinity() { return std::numeric_limits<float>::infinity(); }
PHONAUT_INLINE constexpr float not_a_number() { return std::numeric_limits<float>::quiet_NaN(); }

/// c[0] + c[1] x + c[2] x^2 + ...
template <class... C>
PHONAUT_INLINE Vec polynomial(Vec x, float c0, C... c) {
  if constexpr (sizeof...(C) == 0) return Vec(c0);
  else return fma(polynomial(x, c...), x, Vec(c0));
}

/// x = n log 2 + r with |r| <= log(2) / 2. Needs |x| < 2^21.
struct ExpArgument {
  Vec n, r;
  Ints k;  // n as an integer
  PHONAUT_INLINE explicit ExpArgument(Vec x) {
    // Adding 1.5 * 2^23 rounds to an integer, which then stands in the low bits.
    const Vec magic(12582912.0f);
    const Vec shifted = fma(x, Vec(1.44269504f), magic);
    n = shifted - magic;
    k = bits_of(shifted) - bits_of(magic);
    // log 2 in two parts; the product of n and the first one is exact, with or without fused multiply-add.
    r = fnma(n, Vec(0.693359375f), x);
    r = fnma(n, Vec(-2.12194440e-4f), r);
  }
  /// (exp(r) - 1), with 1.4e-8 relative error of the fit.
  PHONAUT_INLINE Vec expm1_of_r() const {
    const Vec p =
        polynomial(r, 4.999999702e-01f, 1.666653454e-01f, 4.166771472e-02f, 8.367696777e-03f, 1.384203206e-03f);
    return fma(r * r, p, r);
  }
};

/// y 2^k, rounded once even where the result is denormal. Needs |k| <= 252.
PHONAUT_INLINE Vec scale_by_power(Vec y, [[maybe_unused]] Ints k, [[maybe_unused]] Vec n) {
#if defined(__AVX512F__)
  return Vec::Batch(_mm512_scalef_ps(y.v.data, n.v.data));
#else
  const Ints half = k >> 1;  // 2^k itself may be too large or too small for a float
  return y * float_of_bits((half + Ints(127)) << 23) * float_of_bits((k - half + Ints(127)) << 23);
#endif
}

PHONAUT_INLINE Vec exp(Vec x) {
  // Beyond these bounds the result is 0 or infinity anyway.
  const ExpArgument a(min(max(x, Vec(-104.0f)), Vec(89.0f)));
  return scale_by_power(a.expm1_of_r() + Vec(1.0f), a.k, a.n);
}

/// exp(x) - 1 for -104 <= x <= 89.
PHONAUT_INLINE Vec expm1_bounded(Vec x) {
  const ExpArgument a(x);
  // 2^n q + 2^n - 1, halved: 2^128 is not a float.
  const Vec half = float_of_bits((a.k + Ints(126)) << 23);
  const Vec y = fma(a.expm1_of_r(), half, half - Vec(0.5f));
  return y + y;
}
PHONAUT_INLINE Vec expm1(Vec x) { return expm1_bounded(min(max(x, Vec(-20.0f)), Vec(89.0f))); }

/// log(1 + f) + k log 2 for -0.25 <= f <= 0.5, integer k. The fit (of (log(1+f) - f + f^2/2) / f^3) has 7e-9.
PHONAUT_INLINE Vec log1p_plus_powers(Vec f, Vec k) {
  const Vec q = polynomial(f, 3.333337903e-01f, -2.500004172e-01f, 1.999364048e-01f, -1.665197909e-01f,
                           1.445113719e-01f, -1.309310198e-01f, 1.046934128e-01f, -4.583224654e-02f);
  const Vec small = fma(f * f, fma(f, q, Vec(-0.5f)), k * Vec(-2.12194440e-4f));
  return fma(k, Vec(0.693359375f), f + small);
}
/// The exponent bits of x / 0.75: dividing by that power of two brings x to [0.75, 1.5).
PHONAUT_INLINE Ints exponent_above_three_quarters(Vec x) {
  return (bits_of(x) - bits_of(Vec(0.75f))) & Ints(static_cast<std::int32_t>(0xff800000u));
}

PHONAUT_INLINE Vec log(Vec x) {
  const Mask tiny = x < Vec(std::numeric_limits<float>::min());
  const Vec normal = select(tiny, x * Vec(8388608.0f), x);  // times 2^23
  const Ints e = exponent_above_three_quarters(normal);
  const Vec k = Vec(xsimd::to_float(e >> 23)) - select(tiny, Vec(23.0f), Vec(0.0f));
  const Vec y = log1p_plus_powers(float_of_bits(bits_of(normal) - e) - Vec(1.0f), k);
  const Vec at_edge = select(x < Vec(0.0f), Vec(not_a_number()), select(x == Vec(0.0f), Vec(-infinity()), x));
  return select((x > Vec(0.0f)) & (x < Vec(infinity())), y, at_edge);
}

PHONAUT_INLINE Vec log1p(Vec x) {
  const Ints e = exponent_above_three_quarters(x + Vec(1.0f));
  // x 2^-k + (2^-k - 1), where 1 + x lies near 2^k: both terms are exact. 2^-k as 2^(2-k) / 4, since k may be 128.
  const Vec power = float_of_bits(bits_of(Vec(4.0f)) - e) * Vec(0.25f);
  const Vec y = log1p_plus_powers(fma(x, power, power - Vec(1.0f)), xsimd::to_float(e >> 23));
  const Vec at_edge = select(x < Vec(-1.0f), Vec(not_a_number()), select(x == Vec(-1.0f), Vec(-infinity()), x));
  return select((x > Vec(-1.0f)) & (x < Vec(infinity())), y, at_edge);
}

/// exp(-|x|), a number in [0, 1].
PHONAUT_INLINE Vec exp_of_minus_abs(Vec x) {
  const ExpArgument a(max(-abs(x), Vec(-104.0f)));
  return scale_by_power(a.expm1_of_r() + Vec(1.0f), a.k, a.n);
}

/// 1 / (1 + exp(-x)).
PHONAUT_INLINE Vec sigmoid(Vec x) {
  const Vec e = exp_of_minus_abs(x);
  return select(x < Vec(0.0f), e, Vec(1.0f)) / (Vec(1.0f) + e);
}

/// log(1 + exp(x)) = max(x, 0) + log(1 + e) with e = exp(-|x|) <= 1. Above 1/2, 1 + e is halved to stay in the range
/// of the fit.
PHONAUT_INLINE Vec softplus(Vec x) {
  const Vec e = exp_of_minus_abs(x);
  const Mask upper = e > Vec(0.5f);
  const Vec f = select(upper, fma(e, Vec(0.5f), Vec(-0.5f)), e);
  return max(x, Vec(0.0f)) + log1p_plus_powers(f, select(upper, Vec(1.0f), Vec(0.0f)));
}

PHONAUT_INLINE Vec with_sign_of(Vec magnitude, Vec x) {
  const Vec::Batch sign = float_of_bits(Ints(std::numeric_limits<std::int32_t>::min())).v;
  return magnitude.v | (x.v & sign);
}

/// With t = exp(2 |x|) - 1: tanh |x| = t / (t + 2). It is 1 from 9.02 on.
PHONAUT_INLINE Vec tanh(Vec x) {
  const Vec half = min(abs(x), Vec(10.0f));
  const Vec t = expm1_bounded(half + half);
  return with_sign_of(t / (t + Vec(2.0f)), x);
}

/// Near zero x + x P(x^2); from 0.93 on, 1 - exp(-t - t Q(t)) with t = |x|, where -log(1 - erf(t)) is the fitted
/// quantity. It is 1 from 3.92 on.
PHONAUT_INLINE Vec erf(Vec x) {
  const Vec s = x * x;
  const Vec near = fma(polynomial(s, 1.283791512e-01f, -3.761248887e-01f, 1.128173023e-01f, -2.676291578e-02f,
                                  4.987264983e-03f, -5.959128612e-04f),
                       x, x);
  const Vec t = min(abs(x), Vec(4.0f));
  const Vec q = polynomial(t, 1.287008822e-01f, 6.349123716e-01f, 1.066737846e-01f, -2.417148091e-02f, 3.849607892e-03f,
                           -3.764363064e-04f, 1.678711851e-05f);
  const ExpArgument a(-fma(t, q, t));
  const Vec tail = scale_by_power(a.expm1_of_r() + Vec(1.0f), a.k, a.n);
  return select(t > Vec(0.93f), with_sign_of(Vec(1.0f) - tail, x), near);
}

struct SinCos {
  Vec sin, cos;
};

/// Replaces the lanes of `y` whose argument is beyond the reach of the reduction. Rare, hence not inlined.
[[gnu::noinline]] inline SinCos sincos_by_lane(Vec x, SinCos y) {
  alignas(64) float angle[Vec::lanes], sine[Vec::lanes], cosine[Vec::lanes];
  x.store(angle), y.sin.store(sine), y.cos.store(cosine);
  for (long i = 0; i < Vec::lanes; ++i)
    if (!(::fabsf(angle[i]) <= 8192.0f)) sine[i] = ::sinf(angle[i]), cosine[i] = ::cosf(angle[i]);
  return {Vec::load(sine), Vec::load(cosine)};
}

/// Both, for less than the price of two. Beyond |x| = 8192 each lane goes through the C library.
PHONAUT_INLINE SinCos sincos(Vec x) {
  const Vec magic(12582912.0f);
  const Vec shifted = fma(x, Vec(0.636619772f), magic);
  const Vec j = shifted - magic;  // quarter turns
  const Ints quadrant = bits_of(shifted);
#if defined(__FMA__) || defined(__ARM_FEATURE_FMA)
  // pi / 2 in three parts: 24 bits each, products exact inside the fused multiply-add.
  Vec r = fnma(j, Vec(1.57079637e+00f), x);
  r = fnma(j, Vec(-4.37113883e-08f), r);
  r = fnma(j, Vec(-1.71512451e-15f), r);
#else
  // pi / 2 in four parts of at most 11 bits, so that products with |j| < 2^13 are exact.
  Vec r = fnma(j, Vec(1.5703125f), x);
  r = fnma(j, Vec(4.837512969970703e-04f), r);
  r = fnma(j, Vec(7.549533620476723e-08f), r);
  r = fnma(j, Vec(2.56334407e-12f), r);
#endif
  const Vec s = r * r;
  const Vec sine =
      fma(r * s, polynomial(s, -1.666666716e-01f, 8.333378471e-03f, -1.985244016e-04f, 2.823931482e-06f), r);
  const Vec cosine =
      fma(s * s, polynomial(s, 4.166665673e-02f, -1.388772042e-03f, 2.446875806e-05f), fma(s, Vec(-0.5f), Vec(1.0f)));
  const Ints odd = Ints(0) - (quadrant & Ints(1));  // all bits set where sine and cosine change places
  const Ints change = (bits_of(sine) ^ bits_of(cosine)) & odd;
  SinCos y{float_of_bits(bits_of(sine) ^ change ^ ((quadrant & Ints(2)) << 30)),
           float_of_bits(bits_of(cosine) ^ change ^ (((quadrant + Ints(1)) & Ints(2)) << 30))};
  if (any(~(abs(x) <= Vec(8192.0f)))) y = sincos_by_lane(x, y);
  return y;
}
PHONAUT_INLINE Vec sin(Vec x) { return sincos(x).sin; }
PHONAUT_INLINE Vec cos(Vec x) { return sincos(x).cos; }

}  // namespace phonaut::kernel::PHONAUT_ISA
#endif
