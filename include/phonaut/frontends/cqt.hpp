#pragma once
// Constant-Q transform: frequencies a fixed part of an octave apart, each seen through as many of its periods. J. C.
// Brown, "Calculation of a constant Q spectral transform", 1991; by its definition, without octave-wise resampling.
#include <cmath>

#include "phonaut/ops/filter_bank.hpp"
#include "phonaut/ops/window.hpp"

namespace phonaut {

/// Waveform (N, samples) -> (N, 1 + samples / hop, 2 · bins), real and imaginary part side by side, with gradient.
/// Bin k is at f = low · 2^(k / per_octave), through a periodic Hann window of ceil(Q · sample_rate / f) samples with
/// sum 1, Q = 1 / (2^(1 / per_octave) - 1); frame t is centred on sample t · hop, zeros stand around the signal. Frames
/// behind an utterance's end are zero.
template <class B>
struct Cqt {
  struct Config {
    double sample_rate = 16000;
    double low = 32.70319566257483;  ///< Hz: C1
    long bins = 84, per_octave = 12;
    long hop = 512;
  };

  /// Throws ConfigError for sizes below 1, bins beyond the Nyquist frequency or windows that are longer than a minute.
  Cqt(Context<B>& ctx, const Config& c) : config(c) {
    if (c.bins < 1 || c.per_octave < 1 || c.hop < 1 || !(c.low > 0) || !(c.sample_rate > 0))
      throw ConfigError(concat("cqt: bins (", c.bins, "), bins of an octave (", c.per_octave, "), hop (", c.hop,
                               ") and lowest frequency (", c.low, " Hz) must be above 0"));
    if (!(frequency(c.bins - 1) <= c.sample_rate / 2))
      throw ConfigError(concat("cqt: bin ", c.bins - 1, " is at ", frequency(c.bins - 1),
                               " Hz, beyond half the sample rate of ", c.sample_rate, " Hz"));
    constexpr double pi = 3.14159265358979323846;
    const double q = 1 / (std::pow(2.0, 1 / static_cast<double>(c.per_octave)) - 1);
    const auto length = [&](long k) { return std::ceil(q * c.sample_rate / frequency(k)); };
    if (!(length(0) <= 60 * c.sample_rate))
      throw ConfigError(concat("cqt: at ", c.low, " Hz a window has ", length(0), " samples, more than a minute"));
    // Every window within the longest, its middle sample at the same place.
    const long most = static_cast<long>(length(0));
    grid = {.taps = most, .stride = c.hop, .before = most / 2, .after = most - most / 2};
    std::vector<double> rows(static_cast<size_t>(2 * c.bins * most), 0.0);
    for (long k = 0; k < c.bins; ++k) {
      const long n = static_cast<long>(length(k));
      const auto window = window_values(Window::hann(), n);
      double total = 0;
      for (double w : window) total += w;
      const long middle = n / 2;
      for (long i = 0; i < n; ++i) {
        const double angle = -2 * pi * frequency(k) / c.sample_rate * static_cast<double>(i - middle);
        const long at = most / 2 + i - middle;
        const double w = window[static_cast<size_t>(i)] / total;
        rows[static_cast<size_t>(2 * k * most + at)] = w * std::cos(angle);
        rows[static_cast<size_t>((2 * k + 1) * most + at)] = w * std::sin(angle);
      }
    }
    bank = make_filter_bank(ctx, 2 * c.bins, rows);
  }

  /// Throws ConfigError if the waveform has another sample rate.
  Sequence<B> operator()(const Waveform<B>& x) const {
    check_rate("cqt", x, config.sample_rate);
    return filter_bank(x, bank, grid);
  }
  /// Hz of bin k.
  double frequency(long k) const {
    return config.low * std::pow(2.0, static_cast<double>(k) / static_cast<double>(config.per_octave));
  }
  double frame_rate() const { return config.sample_rate / static_cast<double>(config.hop); }
  static void visit(auto&, auto&&) {}

  Config config;
  ConvGrid grid;
  Tensor<B, 3> bank;  ///< (2 · bins, taps, 1)
};

}  // namespace phonaut
