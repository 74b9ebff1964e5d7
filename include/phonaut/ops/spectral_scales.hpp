#pragma once
// Distances between waveforms as sums over spectrograms of several resolutions: what one is made of, and the published
// choices. losses/ trains with them, metrics/ measures with them.
#include <vector>

#include "phonaut/ops/arithmetic.hpp"
#include "phonaut/ops/spectral_distance.hpp"
#include "phonaut/ops/stft.hpp"

namespace phonaut {

/// One resolution: features of both waveforms, and how their distance counts.
struct SpectralScale {
  SpectralConfig features;
  SpectralTerms terms;
};

namespace detail {

/// `like` with every weight multiplied.
inline SpectralTerms scaled(SpectralTerms like, double factor) {
  for (double* weight : {&like.difference, &like.log_distance, &like.log_square, &like.convergence, &like.log_root})
    *weight *= factor;
  return like;
}
inline float per_ln10(double factor = 1) { return static_cast<float>(factor / std::log(10.0)); }

}  // namespace detail

/// Multi-resolution STFT loss (Yamamoto et al., "Parallel WaveGAN", 2020) as auraloss computes it: magnitudes
/// sqrt(max(|X|², eps)); spectral convergence ‖Y - X‖ / ‖Y‖ over the whole batch + mean |ln X - ln Y| (+ mean |X - Y|),
/// mean over resolutions.
struct MrStftConfig {
  struct Resolution {
    long n_fft, hop, window_length;
  };
  std::vector<Resolution> resolutions{{1024, 120, 600}, {2048, 240, 1200}, {512, 50, 240}};
  double convergence = 1, log_magnitude = 1, linear_magnitude = 0;
  double eps = 1e-8;

  std::vector<SpectralScale> scales() const {
    std::vector<SpectralScale> all;
    const SpectralTerms terms{.difference = linear_magnitude,
                              .log_distance = log_magnitude,
                              .convergence = convergence,
                              // Magnitudes are floored already; this floor lies below.
                              .log = {.floor = static_cast<float>(0.5 * std::sqrt(eps))}};
    for (const Resolution& r : resolutions)
      all.push_back({StftConfig{.n_fft = r.n_fft, .hop = r.hop, .window_length = r.window_length}.analysis(
                         Spectrum::floored_magnitude, eps),
                     detail::scaled(terms, 1 / static_cast<double>(resolutions.size()))});
    return all;
  }
};

/// The mel loss of DAC (Kumar et al., "High-fidelity audio compression with improved RVQGAN", 2023): |log10 of mel
/// magnitudes to the power `power`|, over windows with hop n / 4; Slaney mel with area norm. Summed over scales.
struct DacMelConfig {
  double sample_rate = 16000;
  std::vector<long> windows{32, 64, 128, 256, 512, 1024, 2048};
  std::vector<long> bands{5, 10, 20, 40, 80, 160, 320};
  double low = 0, high = 0;  ///< Hz; high 0 is the Nyquist frequency
  double floor = 1e-5, power = 1;
  double magnitude_weight = 0, log_weight = 1;

  /// Throws ConfigError unless there are as many band counts as windows.
  std::vector<SpectralScale> scales() const {
    if (windows.size() != bands.size())
      throw ConfigError(concat("mel loss: there are ", windows.size(), " windows but ", bands.size(), " band counts"));
    std::vector<SpectralScale> all;
    for (size_t i = 0; i < windows.size(); ++i) {
      const long n = windows[i];
      auto features = StftConfig{.n_fft = n, .hop = n / 4}.analysis(Spectrum::magnitude);
      features.filters = mel_filters({.sample_rate = sample_rate,
                                      .n_fft = n,
                                      .bands = bands[i],
                                      .low = low,
                                      .high = high,
                                      .scale = MelScale::slaney,
                                      .area_norm = true});
      all.push_back({features,
                     {.difference = magnitude_weight,
                      .log_distance = log_weight,
                      .log = {.floor = static_cast<float>(floor), .log_scale = detail::per_ln10(power)}}});
    }
    return all;
  }
};

/// The STFT loss of DAC: |log10 |X|^power| and |X|, over windows with hop n / 4. Summed over scales.
struct DacStftConfig {
  std::vector<long> windows{2048, 512};
  double floor = 1e-5, power = 2;
  double magnitude_weight = 1, log_weight = 1;

  std::vector<SpectralScale> scales() const {
    std::vector<SpectralScale> all;
    for (long n : windows)
      all.push_back({StftConfig{.n_fft = n, .hop = n / 4}.analysis(Spectrum::magnitude),
                     {.difference = magnitude_weight,
                      .log_distance = log_weight,
                      .log = {.floor = static_cast<float>(floor), .log_scale = detail::per_ln10(power)}}});
    return all;
  }
};

/// The mel loss of EnCodec (Défossez et al., "High fidelity neural audio compression", 2022): power mel spectrograms
/// over windows 2^first … 2^last with hop n / 4, HTK mel without area norm, STFT divided by sqrt(Σ w²), no centring but
/// (n - hop) / 2 reflected samples at both ends and zeros up to full frames; mean |S - S'| + a · mean (log10(floor + S)
/// - log10(floor + S'))².
struct EncodecMelConfig {
  double sample_rate = 24000;
  long first = 5, last = 11;  ///< the paper's; the public code stops at 10 and starts at 6
  long bands = 64;
  double low = 0, high = 0;
  double floor = 1e-5;
  bool root_alpha = true;  ///< a = sqrt(n - 1), the code's default; else 1, the paper's
  bool normalised = true;  ///< divide the STFT by sqrt(Σ w²), and the sum over scales by Σ (1 + a)

  std::vector<SpectralScale> scales() const {
    std::vector<SpectralScale> all;
    double weights = 0;
    for (long i = first; i <= last; ++i) {
      const long n = 1L << i, hop = n / 4;
      const double a = root_alpha ? std::sqrt(static_cast<double>(n - 1)) : 1;
      auto features =
          StftConfig{.n_fft = n, .hop = hop, .scale = normalised ? StftConfig::Scale::window : StftConfig::Scale::none}
              .analysis(Spectrum::power);
      features.pad_left = features.pad_right = (n - hop) / 2;
      features.tail = SpectralConfig::Tail::fill;
      features.filters = mel_filters(
          {.sample_rate = sample_rate, .n_fft = n, .bands = bands, .low = low, .high = high, .scale = MelScale::htk});
      all.push_back({features,
                     {.difference = 1,
                      .log_square = a,
                      .log = {.shifted = true, .floor = static_cast<float>(floor), .log_scale = detail::per_ln10()}}});
      weights += 1 + a;
    }
    if (normalised)
      for (SpectralScale& scale : all) scale.terms = detail::scaled(scale.terms, 1 / weights);
    return all;
  }
};

/// Log-spectral distance: sqrt(mean over bins (log10 |X|² - log10 |Y|²)²), mean over frames and batch.
struct LsdConfig {
  long n_fft = 2048, hop = 512;
  double floor = 1e-10;

  std::vector<SpectralScale> scales() const {
    return {{StftConfig{.n_fft = n_fft, .hop = hop}.analysis(Spectrum::power),
             {.log_root = 1, .log = {.floor = static_cast<float>(floor), .log_scale = detail::per_ln10()}}}};
  }
};

/// The tables of such a distance, for use in any number of calls.
template <class B>
struct SpectralScales {
  struct Entry {
    SharedSpectralPlan<typename B::Scalar> plan;
    SpectralTerms terms;
  };
  std::vector<Entry> entries;

  /// `config` is one of the structs above. Throws ConfigError if its options do not fit together.
  template <class Config>
  explicit SpectralScales(const Config& config) {
    for (const SpectralScale& scale : config.scales())
      entries.push_back({make_spectral_plan<B>(scale.features), scale.terms});
  }

  /// The distance between waveforms (N, samples); gradients go to both. Frames of padding do not count: means are over
  /// the real frames of all utterances, which are those that each utterance has alone. Throws ShapeError if shapes or
  /// lengths differ.
  Var<B, 0> operator()(const Waveform<B>& x, const Waveform<B>& y) const {
    check_same_shape("spectral loss", "x", x.samples.shape(), "y", y.samples.shape());
    Var<B, 0> total;
    for (const Entry& e : entries) {
      const auto distance = spectral_distance(spectral_features(x, e.plan), spectral_features(y, e.plan), e.terms);
      total = total ? total + distance : distance;
    }
    if (!total) throw ConfigError("spectral loss: there is no resolution to compare at");
    return total;
  }
};

}  // namespace phonaut
