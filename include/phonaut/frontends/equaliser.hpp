#pragma once
// Equalisers: chains of second-order filters, by R. Bristow-Johnson, "Cookbook formulae for audio equalizer biquad
// filter coefficients" (https://www.w3.org/TR/audio-eq-cookbook/).
#include <span>
#include <vector>

#include "phonaut/core/param.hpp"
#include "phonaut/core/waveform.hpp"

namespace phonaut {

/// y_t = b0 x_t + b1 x_{t-1} + b2 x_{t-2} - a1 y_{t-1} - a2 y_{t-2}. Its makers throw ConfigError unless the frequency
/// is between 0 and half of the sample rate, q above 0 and the gain finite.
struct Biquad {
  double b0 = 1, b1 = 0, b2 = 0, a1 = 0, a2 = 0;

  /// `decibel` at `hz`, 0 dB far from it; the higher q, the narrower.
  static Biquad peak(double decibel, double hz, double q, double sample_rate);
  /// `decibel` below `hz`, half of it there, 0 dB above.
  static Biquad low_shelf(double decibel, double hz, double q, double sample_rate);
  /// `decibel` above `hz`, half of it there, 0 dB below.
  static Biquad high_shelf(double decibel, double hz, double q, double sample_rate);
};

/// The samples through one filter after the other, in place; silence before the first.
void equalise(std::span<double> samples, std::span<const Biquad> filters);

/// Each utterance through its own chain; 0 behind its end. Computed on the host; no gradient. Throws ShapeError unless
/// there is one chain for each utterance.
template <class B>
Waveform<B> equalise(const Waveform<B>& x, const std::vector<std::vector<Biquad>>& chains) {
  check_lengths("equalise", x);
  if (static_cast<long>(chains.size()) != x.batch())
    throw ShapeError(concat("equalise: samples ", text(x.samples.shape()), " with ", chains.size(), " chains"));
  const auto samples = values_of(x.samples);
  std::vector<double> rows(samples.size(), 0.0);
  for (long n = 0; n < x.batch(); ++n) {
    const long at = n * x.time();
    std::copy_n(samples.begin() + at, x.length(n), rows.begin() + at);
    equalise(std::span(rows).subspan(static_cast<size_t>(at), static_cast<size_t>(x.length(n))),
             chains[static_cast<size_t>(n)]);
  }
  return x.with(input(x.context(), x.samples.shape(), rows));
}

}  // namespace phonaut
