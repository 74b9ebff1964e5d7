#pragma once
// Cochleagram: energies behind a bank of gammatone filters, the shape of the ear's. R. D. Patterson et al., "An
// efficient auditory filterbank based on the gammatone function", 1987; bandwidths of B. R. Glasberg and B. C. J.
// Moore, "Derivation of auditory filter shapes from notched-noise data", 1990.
#include <cmath>

#include "phonaut/core/full_precision.hpp"
#include "phonaut/ops/filter_bank.hpp"
#include "phonaut/ops/formula/cube_root.hpp"
#include "phonaut/ops/formula/elementary.hpp"
#include "phonaut/ops/map.hpp"

namespace phonaut {

/// `count` frequencies (Hz) from low to high, equally spaced on the scale of equivalent rectangular bandwidths,
/// 21.4 log10(1 + 0.00437 f).
inline std::vector<double> erb_centres(long count, double low, double high) {
  const auto scale = [](double f) { return 21.4 * std::log10(1 + 0.00437 * f); };
  std::vector<double> centres;
  for (long i = 0; i < count; ++i) {
    const double part = count > 1 ? static_cast<double>(i) / static_cast<double>(count - 1) : 0;
    const double at = scale(low) + part * (scale(high) - scale(low));
    centres.push_back((std::pow(10, at / 21.4) - 1) / 0.00437);
  }
  return centres;
}

/// Impulse responses t^(order - 1) exp(-2π b ERB(f) t) cos(2π f t) of `taps` samples for each centre, row by row, with
/// gain 1 at the centre; ERB(f) = 24.7 (0.00437 f + 1).
inline std::vector<double> gammatone_responses(const std::vector<double>& centres, double sample_rate, long taps,
                                               long order = 4, double bandwidth = 1.019) {
  constexpr double pi = 3.14159265358979323846;
  std::vector<double> rows(centres.size() * static_cast<size_t>(taps));
  for (size_t k = 0; k < centres.size(); ++k) {
    const double f = centres[k], decay = 2 * pi * bandwidth * 24.7 * (0.00437 * f + 1);
    double* const h = rows.data() + k * static_cast<size_t>(taps);
    double re = 0, im = 0;
    for (long i = 0; i < taps; ++i) {
      const double t = static_cast<double>(i) / sample_rate;
      h[i] = std::pow(t, static_cast<double>(order - 1)) * std::exp(-decay * t) * std::cos(2 * pi * f * t);
      re += h[i] * std::cos(2 * pi * f * t);
      im -= h[i] * std::sin(2 * pi * f * t);
    }
    const double gain = std::sqrt(re * re + im * im);
    for (long i = 0; i < taps && gain > 0; ++i) h[i] /= gain;
  }
  return rows;
}

/// Waveform (N, samples) -> (N, 1 + (samples - window) / hop, filters), with gradient: the mean square of each filter's
/// output over windows, and a compression of it. Frames behind an utterance's end are zero.
template <class B>
struct Cochleagram {
  enum class Scale {
    linear,    ///< the mean square itself
    natural,   ///< ln max(mean square, floor)
    cube_root  ///< loudness, roughly
  };
  struct Config {
    double sample_rate = 16000;
    long filters = 64;
    double low = 50, high = 7500;  ///< Hz, of the outermost filters
    long taps = 512;               ///< of the impulse responses
    long order = 4;
    double bandwidth = 1.019;  ///< of a filter, in ERB
    long window = 400, hop = 160;
    Scale scale = Scale::natural;
    double floor = 1e-10;
  };

  /// Throws ConfigError for sizes below 1 or frequencies outside of (0, sample_rate / 2].
  Cochleagram(Context<B>& ctx, const Config& c) : config(c) {
    if (std::min({c.filters, c.taps, c.order, c.window, c.hop}) < 1)
      throw ConfigError(concat("cochleagram: filters (", c.filters, "), taps (", c.taps, "), order (", c.order,
                               "), window (", c.window, ") and hop (", c.hop, ") must be at least 1"));
    if (!(0 < c.low && c.low <= c.high && c.high <= c.sample_rate / 2))
      throw ConfigError(
          concat("cochleagram: need 0 < low <= high <= ", c.sample_rate / 2, " Hz, got ", c.low, " and ", c.high));
    centres = erb_centres(c.filters, c.low, c.high);
    auto rows = gammatone_responses(centres, c.sample_rate, c.taps, c.order, c.bandwidth);
    // Convolving is correlating with the response reversed.
    for (long k = 0; k < c.filters; ++k) std::reverse(rows.begin() + k * c.taps, rows.begin() + (k + 1) * c.taps);
    bank = make_filter_bank(ctx, c.filters, rows);
    average = make_filter_bank(
        ctx, c.filters,
        std::vector<double>(static_cast<size_t>(c.filters * c.window), 1 / static_cast<double>(c.window)));
  }

  /// The filters' outputs: (N, samples) -> (N, samples, filters). Throws ConfigError for another sample rate.
  Sequence<B> filtered(const Waveform<B>& x) const {
    check_rate("cochleagram", x, config.sample_rate);
    return filter_bank(x, bank, {.taps = config.taps, .before = config.taps - 1});
  }
  Sequence<B> operator()(const Waveform<B>& x) const {
    const auto y = filtered(x);
    const FullPrecision full(x.context());
    const ConvGrid grid{.taps = config.window, .stride = config.hop};
    const auto energy =
        conv1d<B>(y.with(map<formula::Square>(y.frames)), x.context().constant(average), {}, grid, config.filters);
    if (config.scale == Scale::linear) return mask_frames(energy);
    const auto compressed = config.scale == Scale::cube_root
                                ? map<formula::CubeRoot>(energy.frames)
                                : map(energy.frames, formula::LogAbove{static_cast<float>(config.floor)});
    return mask_frames(energy.with(compressed));
  }
  double frame_rate() const { return config.sample_rate / static_cast<double>(config.hop); }
  static void visit(auto&, auto&&) {}

  Config config;
  std::vector<double> centres;  ///< Hz
  Tensor<B, 3> bank, average;
};

}  // namespace phonaut
