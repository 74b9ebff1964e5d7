#include "phonaut/frontends/equaliser.hpp"

#include <cmath>

#include "phonaut/core/error.hpp"

namespace phonaut {

namespace {

/// The terms that the cookbook's filters share.
struct Design {
  double a, cosine, alpha;

  Design(const char* kind, double decibel, double hz, double q, double sample_rate) : a(std::pow(10.0, decibel / 40)) {
    constexpr double pi = 3.14159265358979323846;
    if (!(hz > 0 && hz < sample_rate / 2) || !(q > 0) || !std::isfinite(decibel) || !std::isfinite(a))
      throw ConfigError(concat(kind, ": ", decibel, " dB at ", hz, " Hz with a Q of ", q,
                               " needs a frequency between 0 and ", sample_rate / 2, " Hz and a Q above 0"));
    const double angle = 2 * pi * hz / sample_rate;
    cosine = std::cos(angle);
    alpha = std::sin(angle) / (2 * q);
  }
};

Biquad normalised(double b0, double b1, double b2, double a0, double a1, double a2) {
  return {b0 / a0, b1 / a0, b2 / a0, a1 / a0, a2 / a0};
}
/// A shelf; `side` is 1 for the low one and -1 for the high one.
Biquad shelf(const Design& d, double side) {
  const double c = side * d.cosine, up = d.a + 1, down = d.a - 1, slope = 2 * std::sqrt(d.a) * d.alpha;
  return normalised(d.a * (up - down * c + slope), side * 2 * d.a * (down - up * c), d.a * (up - down * c - slope),
                    up + down * c + slope, side * -2 * (down + up * c), up + down * c - slope);
}

}  // namespace

Biquad Biquad::peak(double decibel, double hz, double q, double sample_rate) {
  const Design d("equaliser peak", decibel, hz, q, sample_rate);
  return normalised(1 + d.alpha * d.a, -2 * d.cosine, 1 - d.alpha * d.a, 1 + d.alpha / d.a, -2 * d.cosine,
                    1 - d.alpha / d.a);
}
Biquad Biquad::low_shelf(double decibel, double hz, double q, double sample_rate) {
  return shelf(Design("equaliser low shelf", decibel, hz, q, sample_rate), 1);
}
Biquad Biquad::high_shelf(double decibel, double hz, double q, double sample_rate) {
  return shelf(Design("equaliser high shelf", decibel, hz, q, sample_rate), -1);
}

void equalise(std::span<double> samples, std::span<const Biquad> filters) {
  constexpr double silence = 1e-30;  // where a tail ends, before its numbers become so small that they are slow
  for (const Biquad& f : filters) {
    double first = 0, second = 0;  // transposed direct form II
    for (double& v : samples) {
      const double x = v, y = f.b0 * x + first;
      first = f.b1 * x - f.a1 * y + second;
      second = f.b2 * x - f.a2 * y;
      if (std::fabs(first) + std::fabs(second) < silence) first = second = 0;
      v = y;
    }
  }
}

}  // namespace phonaut
