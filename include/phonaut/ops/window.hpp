#pragma once
// Window functions, in double precision.
#include <cmath>
#include <vector>

#include "phonaut/core/error.hpp"

namespace phonaut {

/// A taper over a frame.
struct Window {
  enum class Kind { hann, hamming, blackman, povey, rectangular, kaiser, sine };
  Kind kind = Kind::hann;
  bool periodic = true;    ///< divides by n, as STFTs do; else by n - 1 (symmetric), as Kaldi does
  double blackman = 0.42;  ///< a of a - cos/2 + (1/2 - a) cos 2
  double beta = 12;        ///< of the Kaiser window

  static Window hann() { return {}; }
  static Window rectangular() { return {.kind = Kind::rectangular}; }
  /// Kaldi's window: Hann to the power 0.85, symmetric.
  static Window povey() { return {.kind = Kind::povey, .periodic = false}; }
  Window symmetric() const {
    Window w = *this;
    w.periodic = false;
    return w;
  }
};

/// Modified Bessel function of the first kind, order 0, by its power series; all terms are positive, so none cancel.
inline double bessel_i0(double x) {
  const double q = x * x / 4;
  double term = 1, total = 1;
  for (int k = 1; term > 1e-17 * total; ++k) {
    term *= q / (static_cast<double>(k) * k);
    total += term;
  }
  return total;
}

/// The n values of a window. A window of one sample is 1. Throws ConfigError for a negative n.
inline std::vector<double> window_values(const Window& window, long n) {
  if (n < 0) throw ConfigError(concat("window: the length must not be negative, got ", n));
  constexpr double pi = 3.14159265358979323846;
  std::vector<double> w(static_cast<size_t>(n), 1.0);
  if (n <= 1) return w;
  const double m = static_cast<double>(window.periodic ? n : n - 1);
  for (long i = 0; i < n; ++i) {
    const double k = static_cast<double>(i), a = 2 * pi * k / m;
    double& v = w[static_cast<size_t>(i)];
    switch (window.kind) {
      case Window::Kind::hann:
        v = 0.5 - 0.5 * std::cos(a);
        break;
      case Window::Kind::hamming:
        v = 0.54 - 0.46 * std::cos(a);
        break;
      case Window::Kind::povey:
        v = std::pow(0.5 - 0.5 * std::cos(a), 0.85);
        break;
      case Window::Kind::blackman:
        v = window.blackman - 0.5 * std::cos(a) + (0.5 - window.blackman) * std::cos(2 * a);
        break;
      case Window::Kind::rectangular:
        break;
      case Window::Kind::kaiser: {
        const double r = 2 * k / m - 1;
        v = bessel_i0(window.beta * std::sqrt(std::fmax(0.0, 1 - r * r))) / bessel_i0(window.beta);
        break;
      }
      case Window::Kind::sine:
        v = std::sin(pi * (k + 0.5) / static_cast<double>(n));
        break;
    }
  }
  return w;
}

}  // namespace phonaut
