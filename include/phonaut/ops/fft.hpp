#pragma once
// Fourier transforms of many frames at a time. Light: the per-instruction-set kernel files include it.
//
// The text is written over a lane type L and a table type T. With L = T = double it transforms one frame; with L a dual
// number it differentiates; with L a SIMD register each lane is another frame, so that no transform needs a shuffle.
// Radices 4, 2, 3, 5 have their own butterflies; any other prime factor costs its square. Stockham's autosort order
// (Swarztrauber, "FFT algorithms for vector computers", 1984), as in FFTPACK: no bit reversal, two buffers.
#include "phonaut/core/view.hpp"

namespace phonaut::spectral {

/// One pass over the data: `groups` · radix · span = complex points.
template <class T>
struct FftStage {
  long radix = 0;
  long groups = 0;             ///< product of the radices before this one
  long span = 0;               ///< product of the radices after this one
  const T* twiddle = nullptr;  ///< (span, radix - 1) complex: exp(-2πi u·groups·s / points), u = 1 …
  const T* roots = nullptr;    ///< (radix) complex: exp(-2πi u / radix); only for primes without a butterfly
};

/// Tables of a real transform, owned by an FftPlan (ops/fft_plan.hpp). Plain data: kernels take it by reference.
template <class T>
struct FftTables {
  static constexpr int max_stages = 40;
  long size = 0;    ///< real samples per frame
  long points = 0;  ///< of the complex transform below: size / 2 if size is even, else size
  int stages = 0;
  FftStage<T> stage[max_stages];
  const T* split = nullptr;  ///< exp(-2πi k / size), k = 0 … size / 4; only for even sizes

  /// Frequencies from 0 to Nyquist.
  PHONAUT_HD PHONAUT_INLINE long bins() const { return size / 2 + 1; }
  /// Elements of each of the two buffers that a transform works in.
  PHONAUT_HD PHONAUT_INLINE long room() const { return 2 * points + 2; }
};

template <class L>
struct Complex {
  L re, im;
};
template <class L>
PHONAUT_HD PHONAUT_INLINE Complex<L> operator+(Complex<L> a, Complex<L> b) {
  return {a.re + b.re, a.im + b.im};
}
template <class L>
PHONAUT_HD PHONAUT_INLINE Complex<L> operator-(Complex<L> a, Complex<L> b) {
  return {a.re - b.re, a.im - b.im};
}
/// Times a number from a table.
template <class L, class T>
PHONAUT_HD PHONAUT_INLINE Complex<L> turned(Complex<L> a, const T* w) {
  const L re(w[0]), im(w[1]);
  return {a.re * re - a.im * im, a.re * im + a.im * re};
}

/// Points of a buffer, real and imaginary part side by side. An inverse transform is the forward one with the two parts
/// swapped on the way in and out, which costs nothing.
template <class L, bool Inverse>
struct Points {
  L* data;
  PHONAUT_HD PHONAUT_INLINE Complex<L> get(long i) const { return {data[2 * i + Inverse], data[2 * i + 1 - Inverse]}; }
  PHONAUT_HD PHONAUT_INLINE void set(long i, Complex<L> z) const {
    data[2 * i + Inverse] = z.re;
    data[2 * i + 1 - Inverse] = z.im;
  }
  /// Sets point i to z times the twiddle factor, which is 1 where `w` is null.
  template <class T>
  PHONAUT_HD PHONAUT_INLINE void set(long i, Complex<L> z, const T* w) const {
    set(i, w ? turned(z, w) : z);
  }
};

// The butterflies: r inputs `in(s + span (j + r k))`, r outputs `out(s + span (k + groups u))`, twiddles `w`.

template <class L, class T, bool Inverse>
PHONAUT_HD PHONAUT_INLINE void butterfly2(Points<L, Inverse> x, long in, Points<L, Inverse> y, long out, long stride,
                                          long jump, const T* w) {
  const auto a = x.get(in), b = x.get(in + stride);
  y.set(out, a + b);
  y.set(out + jump, a - b, w);
}

template <class L, class T, bool Inverse>
PHONAUT_HD PHONAUT_INLINE void butterfly3(Points<L, Inverse> x, long in, Points<L, Inverse> y, long out, long stride,
                                          long jump, const T* w) {
  const auto a = x.get(in), b = x.get(in + stride), c = x.get(in + 2 * stride);
  const auto sum = b + c, difference = b - c;
  const L half(T(-0.5)), sine(T(0.86602540378443864676));
  const Complex<L> m{a.re + half * sum.re, a.im + half * sum.im};
  const Complex<L> q{sine * difference.im, -(sine * difference.re)};
  y.set(out, a + sum);
  y.set(out + jump, m + q, w);
  y.set(out + 2 * jump, m - q, w ? w + 2 : w);
}

template <class L, class T, bool Inverse>
PHONAUT_HD PHONAUT_INLINE void butterfly4(Points<L, Inverse> x, long in, Points<L, Inverse> y, long out, long stride,
                                          long jump, const T* w) {
  const auto a = x.get(in), b = x.get(in + stride), c = x.get(in + 2 * stride), d = x.get(in + 3 * stride);
  const auto ac = a + c, a_c = a - c, bd = b + d, b_d = b - d;
  const Complex<L> turn{b_d.im, -b_d.re};  // -i (b - d)
  y.set(out, ac + bd);
  y.set(out + jump, a_c + turn, w);
  y.set(out + 2 * jump, ac - bd, w ? w + 2 : w);
  y.set(out + 3 * jump, a_c - turn, w ? w + 4 : w);
}

template <class L, class T, bool Inverse>
PHONAUT_HD PHONAUT_INLINE void butterfly5(Points<L, Inverse> x, long in, Points<L, Inverse> y, long out, long stride,
                                          long jump, const T* w) {
  const L c1(T(0.30901699437494742410)), c2(T(-0.80901699437494742410));
  const L s1(T(0.95105651629515357212)), s2(T(0.58778525229247312917));
  const auto a = x.get(in), b = x.get(in + stride), c = x.get(in + 2 * stride), d = x.get(in + 3 * stride),
             e = x.get(in + 4 * stride);
  const auto be = b + e, b_e = b - e, cd = c + d, c_d = c - d;
  const Complex<L> m1{a.re + c1 * be.re + c2 * cd.re, a.im + c1 * be.im + c2 * cd.im};
  const Complex<L> m2{a.re + c2 * be.re + c1 * cd.re, a.im + c2 * be.im + c1 * cd.im};
  // -i (s1 (b - e) + s2 (c - d)) and -i (s2 (b - e) - s1 (c - d))
  const Complex<L> q1{s1 * b_e.im + s2 * c_d.im, -(s1 * b_e.re + s2 * c_d.re)};
  const Complex<L> q2{s2 * b_e.im - s1 * c_d.im, s1 * c_d.re - s2 * b_e.re};
  y.set(out, a + be + cd);
  y.set(out + jump, m1 + q1, w);
  y.set(out + 2 * jump, m2 + q2, w ? w + 2 : w);
  y.set(out + 3 * jump, m2 - q2, w ? w + 4 : w);
  y.set(out + 4 * jump, m1 - q1, w ? w + 6 : w);
}

/// Any radix, by the definition.
template <class L, class T, bool Inverse>
PHONAUT_HD PHONAUT_INLINE void butterfly_any(Points<L, Inverse> x, long in, Points<L, Inverse> y, long out, long stride,
                                             long jump, const T* w, const FftStage<T>& stage) {
  for (long u = 0; u < stage.radix; ++u) {
    Complex<L> total = x.get(in);
    for (long j = 1, turn = u; j < stage.radix; ++j, turn = (turn + u) % stage.radix)
      total = total + turned(x.get(in + j * stride), stage.roots + 2 * turn);
    y.set(out + u * jump, total, u > 0 && w ? w + 2 * (u - 1) : static_cast<const T*>(nullptr));
  }
}

/// One pass from `from` to `to`.
template <bool Inverse, class L, class T>
PHONAUT_HD PHONAUT_INLINE void fft_pass(const FftStage<T>& stage, L* from, L* to) {
  const Points<L, Inverse> x{from}, y{to};
  const long span = stage.span, jump = span * stage.groups;
#define PHONAUT_PASS(BUTTERFLY, RADIX, ...)                                                            \
  for (long k = 0; k < stage.groups; ++k) {                                                            \
    BUTTERFLY(x, (RADIX)*span* k, y, span* k, span, jump, static_cast<const T*>(nullptr) __VA_ARGS__); \
    for (long s = 1; s < span; ++s)                                                                    \
      BUTTERFLY(x, s + (RADIX)*span * k, y, s + span * k, span, jump,                                  \
                stage.twiddle + 2 * ((RADIX)-1L) * s __VA_ARGS__);                                     \
  }
  switch (stage.radix) {
    case 2:
      PHONAUT_PASS(butterfly2, 2) break;
    case 3:
      PHONAUT_PASS(butterfly3, 3) break;
    case 4:
      PHONAUT_PASS(butterfly4, 4) break;
    case 5:
      PHONAUT_PASS(butterfly5, 5) break;
    default:
      PHONAUT_PASS(butterfly_any, stage.radix, , stage)
  }
#undef PHONAUT_PASS
}

/// The complex transform of `points` values in `a` (unscaled); `b` is the second buffer. Returns the one of the two
/// that holds the result.
template <bool Inverse, class L, class T>
PHONAUT_HD PHONAUT_INLINE L* complex_fft(const FftTables<T>& fft, L* a, L* b) {
  for (int i = 0; i < fft.stages; ++i) {
    fft_pass<Inverse>(fft.stage[i], a, b);
    L* const result = b;
    b = a;
    a = result;
  }
  return a;
}

// Real transforms of even sizes. Even samples are the real, odd ones the imaginary parts of half as many points. With E
// and O the transforms of the two, Z = E + iO; the real input makes both Hermitian, so Z_k and conj Z_{h-k} give them
// back, and X_k = E_k + exp(-2πi k / size) O_k.

/// Z_k and Z_{h-k} -> X_k and X_{h-k}, in place; for k = 0 … h / 2.
template <class L, class T>
PHONAUT_HD PHONAUT_INLINE void split_pair(const FftTables<T>& fft, L* z, long k) {
  const long h = fft.points;
  if (k == 0) {
    const L re0 = z[0], im0 = z[1];
    z[0] = re0 + im0;
    z[1] = L(T(0));
    z[2 * h] = re0 - im0;
    z[2 * h + 1] = L(T(0));
    return;
  }
  const L half(T(0.5));
  L *const p = z + 2 * k, *const q = z + 2 * (h - k);
  const Complex<L> even{half * (p[0] + q[0]), half * (p[1] - q[1])};
  const Complex<L> d{half * (p[0] - q[0]), half * (p[1] + q[1])};  // i O_k
  const Complex<L> wd = turned(d, fft.split + 2 * k);
  // X_k = even - i wd, X_{h-k} = conj(even + i wd)
  p[0] = even.re + wd.im;
  p[1] = even.im - wd.re;
  if (p == q) return;
  q[0] = even.re - wd.im;
  q[1] = -(even.im + wd.re);
}
/// The way back: Z_k = (X_k + conj X_{h-k}) + i exp(2πi k / size) (X_k - conj X_{h-k}), and its partner.
template <class L, class T>
PHONAUT_HD PHONAUT_INLINE void join_pair(const FftTables<T>& fft, L* a, long k) {
  const long h = fft.points;
  if (k == 0) {
    const L first = a[0], last = a[2 * h];
    a[0] = first + last;
    a[1] = first - last;
    return;
  }
  L *const p = a + 2 * k, *const q = a + 2 * (h - k);
  const Complex<L> e{p[0] + q[0], p[1] - q[1]}, d{p[0] - q[0], p[1] + q[1]};
  const L re(fft.split[2 * k]), im(fft.split[2 * k + 1]);
  const Complex<L> wd{d.re * re + d.im * im, d.im * re - d.re * im};  // conj(split) d
  p[0] = e.re - wd.im;
  p[1] = e.im + wd.re;
  if (p == q) return;
  q[0] = e.re + wd.im;
  q[1] = wd.re - e.im;
}

/// Real samples a[0 … size) -> bins() complex values (unscaled), in `a` or `b`; both have room() elements.
template <class L, class T>
PHONAUT_HD PHONAUT_INLINE L* rfft(const FftTables<T>& fft, L* a, L* b) {
  if (fft.size % 2 != 0) {
    for (long i = fft.size; i-- > 0;) {
      a[2 * i] = a[i];
      a[2 * i + 1] = L(T(0));
    }
    return complex_fft<false>(fft, a, b);
  }
  L* const z = complex_fft<false>(fft, a, b);
  for (long k = 0; k <= fft.points - k; ++k) split_pair(fft, z, k);
  return z;
}

/// bins() complex values in `a` -> size real samples Σ_k X_k exp(2πi kn / size) over all size frequencies (unscaled),
/// in `a` or `b`; both have room() elements. The imaginary parts at 0 and Nyquist are ignored.
template <class L, class T>
PHONAUT_HD PHONAUT_INLINE L* irfft(const FftTables<T>& fft, L* a, L* b) {
  if (fft.size % 2 != 0) {
    a[1] = L(T(0));
    for (long k = 1; 2 * k < fft.size; ++k) {
      a[2 * (fft.size - k)] = a[2 * k];
      a[2 * (fft.size - k) + 1] = -a[2 * k + 1];
    }
    L* const x = complex_fft<true>(fft, a, b);
    for (long i = 1; i < fft.size; ++i) x[i] = x[2 * i];
    return x;
  }
  for (long k = 0; k <= fft.points - k; ++k) join_pair(fft, a, k);
  return complex_fft<true>(fft, a, b);
}

}  // namespace phonaut::spectral
