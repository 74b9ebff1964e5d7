#include "parallel.hpp"
#include "partial.hpp"
#include "simd_math.hpp"

// A column of p is the sample of one slice, so lanes are slices and a loop over rows is a loop over the sample. Knots
// are uniform: cos(k θ) and sin(k θ) are the powers of z = exp(i θ), θ = step · p. One sincos for each element, then
// one complex product for each knot; the error grows by half an ulp per product (1e-6 at 17 knots).

#ifdef PHONAUT_ISA
namespace phonaut::kernel::PHONAUT_ISA {

constexpr long most_knots = 128;   // of EppsPulley
constexpr long rows_together = 4;  // independent powers in flight, and one addition to memory for four

struct Powers {
  Vec cosine, sine;
  PHONAUT_INLINE void times(const SinCos& z) {
    const Vec c = fnma(sine, z.sin, cosine * z.cos);
    sine = fma(sine, z.cos, cosine * z.sin);
    cosine = c;
  }
};

PHONAUT_INLINE Vec load_lanes(const double* from, long n) {
  alignas(64) float lane[Vec::lanes] = {};
  for (long i = 0; i < n; ++i) lane[i] = static_cast<float>(from[i]);
  return Vec::load(lane);
}

/// Adds the powers of rows 0 … Rows-1 to the running sums.
template <long Rows>
PHONAUT_INLINE void add_powers(const float* p, long stride, long n, long knots, Vec step, Vec* cosine, Vec* sine) {
  SinCos z[Rows];
  Powers power[Rows];
  for (long r = 0; r < Rows; ++r) {
    z[r] = sincos(step * load_some(p + r * stride, n));
    power[r] = {z[r].cos, z[r].sin};
  }
  for (long k = 1; k < knots; ++k) {
    Vec c = power[0].cosine, s = power[0].sine;
    for (long r = 1; r < Rows; ++r) c += power[r].cosine, s += power[r].sine;
    cosine[k] += c;
    sine[k] += s;
    for (long r = 0; r < Rows; ++r) power[r].times(z[r]);
  }
}

void characteristic_sums(const Cpu& cpu, long knots, double step, View<const float, 2> p, View<double, 2> cosine,
                         View<double, 2> sine) {
  const long samples = p.shape[0], slices = p.shape[1];
  parallel_for(cpu.threads, blocks_of(slices, Vec::lanes), [&](long block) {
    const long m = block * Vec::lanes, n = slices - m < Vec::lanes ? slices - m : Vec::lanes;
    const Vec h(static_cast<float>(step));
    for (long k = 0; k < knots; ++k)
      for (long i = 0; i < n; ++i) {
        cosine.row(k)[m + i] = k == 0 ? static_cast<double>(samples) : 0.0;
        sine.row(k)[m + i] = 0.0;
      }
    Vec c[most_knots], s[most_knots];
    for (long begin = 0; begin < samples; begin += additions_in_float) {
      const long end = begin + additions_in_float < samples ? begin + additions_in_float : samples;
      for (long k = 1; k < knots; ++k) c[k] = s[k] = Vec(0.0f);
      long r = begin;
      for (; r + rows_together <= end; r += rows_together)
        add_powers<rows_together>(p.row(r) + m, p.stride[0], n, knots, h, c, s);
      for (; r < end; ++r) add_powers<1>(p.row(r) + m, p.stride[0], n, knots, h, c, s);
      for (long k = 1; k < knots; ++k) {
        add_lanes(c[k], cosine.row(k) + m, n);
        add_lanes(s[k], sine.row(k) + m, n);
      }
    }
  });
}

/// Horner's rule over the complex numbers: Σ_k a_k cos(kθ) + b_k sin(kθ) = Re Σ_k (a_k - i b_k) z^k.
template <long Rows>
PHONAUT_INLINE void put_slopes(float* p, long stride, long n, long knots, Vec step, const Vec* a, const Vec* b) {
  SinCos z[Rows];
  Powers sum[Rows];
  for (long r = 0; r < Rows; ++r) {
    z[r] = sincos(step * load_some(p + r * stride, n));
    sum[r] = {a[knots - 1], -b[knots - 1]};
  }
  for (long k = knots - 2; k > 0; --k)
    for (long r = 0; r < Rows; ++r) {
      sum[r].times(z[r]);
      sum[r].cosine += a[k];
      sum[r].sine -= b[k];
    }
  for (long r = 0; r < Rows; ++r) {
    const Vec q = fnma(sum[r].sine, z[r].sin, sum[r].cosine * z[r].cos);
    store_some(q, p + r * stride, n);
  }
}

void characteristic_slopes(const Cpu& cpu, long knots, double step, View<const double, 2> a, View<const double, 2> b,
                           View<float, 2> p) {
  const long samples = p.shape[0], slices = p.shape[1];
  parallel_for(cpu.threads, blocks_of(slices, Vec::lanes), [&](long block) {
    const long m = block * Vec::lanes, n = slices - m < Vec::lanes ? slices - m : Vec::lanes;
    const Vec h(static_cast<float>(step));
    Vec va[most_knots], vb[most_knots];
    for (long k = 1; k < knots; ++k) {
      va[k] = load_lanes(a.row(k) + m, n);
      vb[k] = load_lanes(b.row(k) + m, n);
    }
    long r = 0;
    for (; r + rows_together <= samples; r += rows_together)
      put_slopes<rows_together>(p.row(r) + m, p.stride[0], n, knots, h, va, vb);
    for (; r < samples; ++r) put_slopes<1>(p.row(r) + m, p.stride[0], n, knots, h, va, vb);
  });
}

}  // namespace phonaut::kernel::PHONAUT_ISA
#else
#include "phonaut/ops/epps_pulley.hpp"
#endif

PHONAUT_DISPATCH(characteristic_sums,
                 (const Cpu& cpu, long knots, double step, View<const float, 2> p, View<double, 2> cosine,
                  View<double, 2> sine),
                 (cpu, knots, step, p, cosine, sine))
PHONAUT_DISPATCH(characteristic_slopes,
                 (const Cpu& cpu, long knots, double step, View<const double, 2> a, View<const double, 2> b,
                  View<float, 2> p),
                 (cpu, knots, step, a, b, p))
