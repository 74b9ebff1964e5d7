#pragma once
// Dual numbers: a value and its derivative along one direction. Pushed through the reference formulas they give exact
// derivatives, with no step size to choose, and so are the truth that hand-written backward kernels are held against.
#include <cmath>
#include <compare>

namespace phonaut {

/// value + slope·ε with ε² = 0, in double precision.
struct Dual {
  double value = 0, slope = 0;

  Dual() = default;
  constexpr Dual(double v) : value(v) {}  // NOLINT(google-explicit-constructor): constants are duals without slope
  constexpr Dual(double v, double s) : value(v), slope(s) {}
  explicit operator double() const { return value; }
  explicit operator float() const { return static_cast<float>(value); }
  explicit operator long() const { return static_cast<long>(value); }

  friend Dual operator+(Dual a, Dual b) { return {a.value + b.value, a.slope + b.slope}; }
  friend Dual operator-(Dual a, Dual b) { return {a.value - b.value, a.slope - b.slope}; }
  friend Dual operator-(Dual a) { return {-a.value, -a.slope}; }
  friend Dual operator*(Dual a, Dual b) { return {a.value * b.value, a.slope * b.value + a.value * b.slope}; }
  friend Dual operator/(Dual a, Dual b) {
    const double q = a.value / b.value;
    return {q, (a.slope - q * b.slope) / b.value};
  }
  Dual& operator+=(Dual b) { return *this = *this + b; }
  Dual& operator-=(Dual b) { return *this = *this - b; }
  Dual& operator*=(Dual b) { return *this = *this * b; }
  Dual& operator/=(Dual b) { return *this = *this / b; }
  // Comparisons look at the value: they choose a branch, and a branch has no slope.
  friend bool operator==(Dual a, Dual b) { return a.value == b.value; }
  friend auto operator<=>(Dual a, Dual b) { return a.value <=> b.value; }
};

inline Dual exp(Dual x) {
  const double e = std::exp(x.value);
  return {e, e * x.slope};
}
inline Dual expm1(Dual x) { return {std::expm1(x.value), std::exp(x.value) * x.slope}; }
inline Dual log(Dual x) { return {std::log(x.value), x.slope / x.value}; }
inline Dual log1p(Dual x) { return {std::log1p(x.value), x.slope / (1 + x.value)}; }
inline Dual log10(Dual x) { return {std::log10(x.value), x.slope / (x.value * 2.302585092994045684)}; }
inline Dual sqrt(Dual x) {
  const double r = std::sqrt(x.value);
  return {r, r == 0 && x.slope == 0 ? 0 : x.slope / (2 * r)};
}
inline Dual sin(Dual x) { return {std::sin(x.value), std::cos(x.value) * x.slope}; }
inline Dual cos(Dual x) { return {std::cos(x.value), -std::sin(x.value) * x.slope}; }
inline Dual tan(Dual x) {
  const double t = std::tan(x.value);
  return {t, (1 + t * t) * x.slope};
}
inline Dual atan(Dual x) { return {std::atan(x.value), x.slope / (1 + x.value * x.value)}; }
inline Dual atanh(Dual x) { return {std::atanh(x.value), x.slope / (1 - x.value * x.value)}; }
inline Dual tanh(Dual x) {
  const double t = std::tanh(x.value);
  return {t, (1 - t * t) * x.slope};
}
inline Dual erf(Dual x) { return {std::erf(x.value), 1.128379167095512574 * std::exp(-x.value * x.value) * x.slope}; }
inline Dual pow(Dual x, double p) { return {std::pow(x.value, p), p * std::pow(x.value, p - 1) * x.slope}; }
inline Dual abs(Dual x) { return x.value < 0 ? -x : x; }
inline Dual fabs(Dual x) { return abs(x); }
inline Dual max(Dual a, Dual b) { return a.value < b.value ? b : a; }
inline Dual min(Dual a, Dual b) { return b.value < a.value ? b : a; }
inline bool isfinite(Dual x) { return std::isfinite(x.value) && std::isfinite(x.slope); }
inline Dual floor(Dual x) { return {std::floor(x.value), 0}; }
inline Dual round(Dual x) { return {std::round(x.value), 0}; }

}  // namespace phonaut
