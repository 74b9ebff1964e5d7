#pragma once
// The Epps-Pulley test of normality: how far the empirical characteristic function of a sample is from that of N(0, 1).
// T. W. Epps and L. B. Pulley, "A test for normality based on the empirical characteristic function", Biometrika 1983.
#include <cmath>

#include "phonaut/core/backend.hpp"
#include "phonaut/core/error.hpp"
#include "phonaut/core/math.hpp"
#include "phonaut/core/view.hpp"
#include "phonaut/ops/wide.hpp"

namespace phonaut {

/// Knots t_k = k h of the integral over [0, t_max], h = t_max / (knots - 1). The window exp(-t²/2) is at the same time
/// the characteristic function of N(0, 1). Weights are those of the trapezoid, doubled because the integrand is even.
struct EppsPulley {
  long knots = 17;
  double t_max = 3;

  static constexpr long most_knots = 128;  ///< kernels keep two registers per knot on the stack

  PHONAUT_HD PHONAUT_INLINE double step() const { return t_max / static_cast<double>(knots - 1); }
  PHONAUT_HD PHONAUT_INLINE double at(long k) const { return step() * static_cast<double>(k); }
  PHONAUT_HD PHONAUT_INLINE double window(long k) const { return ::exp(-0.5 * at(k) * at(k)); }
  PHONAUT_HD PHONAUT_INLINE double weight(long k) const {
    return (k == 0 || k == knots - 1 ? 1 : 2) * step() * window(k);
  }
  /// Expectation of the statistic of a sample of N(0, 1), whatever its size: 1.0525 with the defaults.
  double expectation() const {
    double total = 0;
    for (long k = 0; k < knots; ++k) total += weight(k) * (1 - window(k) * window(k));
    return total;
  }
  /// Throws ConfigError unless knots and t_max describe an interval.
  void check(const char* op) const {
    if (knots < 2 || knots > most_knots || !(t_max > 0))
      throw ConfigError(concat(op, ": needs 2 … ", most_knots, " knots over a positive range, got ", knots,
                               " knots up to t = ", t_max));
  }
};

namespace kernel {

/// cosine[k, m] = Σ_n cos(p[n, m] t_k) and sine[k, m] = Σ_n sin(p[n, m] t_k), t_k = k · step; a column of p is a
/// sample.
template <class S>
void characteristic_sums(const Reference&, long knots, double step, View<const S, 2> p, View<Wide<S>, 2> cosine,
                         View<Wide<S>, 2> sine) {
  using std::cos, std::sin;
  for (long k = 0; k < knots; ++k)
    for (long m = 0; m < p.shape[1]; ++m) {
      Wide<S> c = 0, s = 0;
      for (long n = 0; n < p.shape[0]; ++n) {
        const S angle = S(step * static_cast<double>(k)) * p.row(n)[m];
        c += Wide<S>(cos(angle));
        s += Wide<S>(sin(angle));
      }
      cosine.row(k)[m] = c;
      sine.row(k)[m] = s;
    }
}

/// statistic[m] = N Σ_k w_k ((C - φ_k)² + S²), with C and S the means of the sums over `total` = N samples.
/// Overwrites the sums with the coefficients of the slope: with a = w_k t_k S and b = -w_k t_k (C - φ_k),
///   ∂ statistic / ∂ p[n, m] = 2 Σ_k a cos(p t_k) + b sin(p t_k); `gain` takes the place of 2.
template <class S>
void epps_pulley(const Reference&, const EppsPulley& test, double total, double gain, View<Wide<S>, 2> cosine,
                 View<Wide<S>, 2> sine, S* statistic) {
  using W = Wide<S>;
  const double inverse = total > 0 ? 1 / total : 0;
  for (long m = 0; m < cosine.shape[1]; ++m) {
    W sum = 0;
    for (long k = 0; k < test.knots; ++k) {
      const W c = W(inverse) * cosine.row(k)[m] - W(test.window(k)), s = W(inverse) * sine.row(k)[m];
      sum += W(test.weight(k)) * (c * c + s * s);
      cosine.row(k)[m] = W(gain * test.weight(k) * test.at(k)) * s;
      sine.row(k)[m] = W(-gain * test.weight(k) * test.at(k)) * c;
    }
    statistic[m] = S(W(total) * sum);
  }
}

/// Replaces each projection p[n, m] by Σ_k a[k, m] cos(p t_k) + b[k, m] sin(p t_k).
template <class S>
void characteristic_slopes(const Reference&, long knots, double step, View<const Wide<S>, 2> a,
                           View<const Wide<S>, 2> b, View<S, 2> p) {
  using std::cos, std::sin;
  for (long n = 0; n < p.shape[0]; ++n)
    for (long m = 0; m < p.shape[1]; ++m) {
      Wide<S> total = 0;
      for (long k = 1; k < knots; ++k) {  // t_0 = 0 has no slope
        const S angle = S(step * static_cast<double>(k)) * p.row(n)[m];
        total += a.row(k)[m] * Wide<S>(cos(angle)) + b.row(k)[m] * Wide<S>(sin(angle));
      }
      p.row(n)[m] = S(total);
    }
}

void characteristic_sums(const Cpu& cpu, long knots, double step, View<const float, 2> p, View<double, 2> cosine,
                         View<double, 2> sine);
void characteristic_slopes(const Cpu& cpu, long knots, double step, View<const double, 2> a, View<const double, 2> b,
                           View<float, 2> p);
void characteristic_sums(const Cuda& cuda, long knots, double step, View<const float, 2> p, View<double, 2> cosine,
                         View<double, 2> sine);
void epps_pulley(const Cuda& cuda, const EppsPulley& test, double total, double gain, View<double, 2> cosine,
                 View<double, 2> sine, float* statistic);
void characteristic_slopes(const Cuda& cuda, long knots, double step, View<const double, 2> a, View<const double, 2> b,
                           View<float, 2> p);

}  // namespace kernel

}  // namespace phonaut
