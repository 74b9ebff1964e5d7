#pragma once
// Another sample rate, by band-limited interpolation with a windowed sinc (J. O. Smith, "Digital Audio Resampling",
// https://ccrma.stanford.edu/~jos/resample): the filter of torchaudio.functional.resample, with its gradient. Files are
// resampled by `read_audio`; this is for what lies between layers.
#include <cmath>
#include <numeric>

#include "phonaut/core/full_precision.hpp"
#include "phonaut/ops/filter_bank.hpp"
#include "phonaut/ops/window.hpp"

namespace phonaut {

/// A change of rate and its filter.
struct ResampleConfig {
  enum class Taper { hann, kaiser };
  long from = 16000, to = 16000;  ///< Hz
  Taper taper = Taper::hann;
  long zeros = 6;         ///< zero crossings of the sinc at either side: more are sharper, and cost as much more
  double rolloff = 0.99;  ///< cutoff as a part of the lower Nyquist frequency
  double beta = 14.769656459379492;  ///< of the Kaiser window

  /// The filter of resampy's and librosa's `kaiser_best`.
  static ResampleConfig kaiser_best(long from, long to) {
    return {.from = from, .to = to, .taper = Taper::kaiser, .zeros = 64, .rolloff = 0.9475937167399596};
  }
  /// Of their `kaiser_fast`.
  static ResampleConfig kaiser_fast(long from, long to) {
    return {.from = from, .to = to, .taper = Taper::kaiser, .zeros = 16, .rolloff = 0.85, .beta = 8.555504641634386};
  }
};

/// The filter of a change of rate as one row of taps for each of `phases` output samples, which `stride` input samples
/// give: y[m · phases + j] = Σ_i row_j[i] x[m · stride + i - width].
struct ResampleFilter {
  long stride = 1, phases = 1;  ///< the rates without their common divisor
  long width = 0;               ///< input samples that the filter looks back
  long taps = 1;                ///< 2 · width + stride
  std::vector<double> rows;     ///< (phases, taps)

  /// Throws ConfigError for rates or options that make no filter, or one of more than 2^24 taps in all.
  explicit ResampleFilter(const ResampleConfig& c) {
    if (c.from < 1 || c.to < 1 || c.zeros < 1 || !(c.rolloff > 0 && c.rolloff <= 1))
      throw ConfigError(concat("resample: rates (", c.from, " and ", c.to, " Hz) and zero crossings (", c.zeros,
                               ") must be at least 1, the rolloff (", c.rolloff, ") in (0, 1]"));
    const long divisor = std::gcd(c.from, c.to);
    stride = c.from / divisor;
    phases = c.to / divisor;
    if (stride == phases) {
      rows = {1};
      return;
    }
    constexpr double pi = 3.14159265358979323846;
    const double o = static_cast<double>(stride), n = static_cast<double>(phases), zeros = static_cast<double>(c.zeros);
    const double base = std::min(o, n) * c.rolloff, wide = std::ceil(zeros * o / base);
    if (!((2 * wide + o) * n <= 0x1p24))
      throw ConfigError(concat("resample: from ", c.from, " to ", c.to, " Hz takes ", phases, " filters of ",
                               2 * wide + o, " taps, more than 2^24 in all; choose rates with a larger divisor"));
    width = static_cast<long>(wide);
    taps = 2 * width + stride;
    rows.resize(static_cast<size_t>(phases * taps));
    for (long j = 0; j < phases; ++j)
      for (long i = 0; i < taps; ++i) {
        const double at = (static_cast<double>(i - width) / o - static_cast<double>(j) / n) * base;
        const double t = std::clamp(at, -zeros, zeros), ratio = t / zeros;
        const double taper = c.taper == ResampleConfig::Taper::hann
                                 ? std::pow(std::cos(t * pi / zeros / 2), 2)
                                 : bessel_i0(c.beta * std::sqrt(std::fmax(0.0, 1 - ratio * ratio))) / bessel_i0(c.beta);
        const double sinc = t == 0 ? 1 : std::sin(pi * t) / (pi * t);
        rows[static_cast<size_t>(j * taps + i)] = sinc * taper * base / o;
      }
  }
  bool identity() const { return stride == phases; }
  /// Samples that `samples` become: ceil(samples · to / from).
  long samples(long samples) const { return (samples * phases + stride - 1) / stride; }
  /// How the rows move over a signal with `before` and `after` zeros around it.
  ConvGrid grid(long before, long after) const {
    return {.taps = taps, .stride = stride, .before = before, .after = after};
  }
};

/// x (N, samples) by a filter and its rows as a bank: (N, ceil(samples · to / from)), without delay; zeros behind the
/// end of an utterance.
template <class B>
Waveform<B> resample(const Waveform<B>& x, const ResampleFilter& filter, const Tensor<B, 3>& bank) {
  check_lengths("resample", x);
  const double rate = x.rate * static_cast<double>(filter.phases) / static_cast<double>(filter.stride);
  if (filter.identity()) return x;
  const FullPrecision full(x.context());
  const Sequence<B> in = as_column(x);
  const ConvGrid grid = filter.grid(filter.width, filter.width + filter.stride);
  const auto frames = conv1d<B>(in, x.context().constant(bank), {}, grid).frames;
  const auto row = reshape(frames, Shape<2>{x.batch(), frames.extent(1) * filter.phases});
  // A frame of the convolution is `phases` samples, so the padded tail is cleared once they lie in a row.
  return mask_samples(Waveform<B>{slice(row, 1, 0, filter.samples(x.time())),
                                  map_lengths(in, [&](long n) { return filter.samples(n); }), rate});
}
/// The same with a filter made for this call. Throws ConfigError as ResampleFilter, or if the waveform is known to have
/// another rate than `config.from`.
template <class B>
Waveform<B> resample(const Waveform<B>& x, const ResampleConfig& config) {
  check_rate("resample", x, static_cast<double>(config.from));
  const ResampleFilter filter(config);
  auto y = resample(x, filter, make_filter_bank(x.context(), filter.phases, filter.rows));
  y.rate = static_cast<double>(config.to);
  return y;
}

}  // namespace phonaut
