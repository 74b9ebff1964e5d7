#pragma once
// Mel scales and their triangular filters, in double precision.
#include <algorithm>
#include <cmath>
#include <vector>

#include "phonaut/core/error.hpp"

namespace phonaut {

/// Which published formula a filter bank follows.
enum class MelScale {
  htk,     ///< 2595 log10(1 + f / 700), triangles linear in Hz (torchaudio's default)
  slaney,  ///< linear below 1 kHz, logarithmic above, triangles linear in Hz (librosa's default)
  kaldi    ///< 1127 ln(1 + f / 700), triangles linear in mel, the Nyquist bin unused
};

struct MelConfig {
  double sample_rate = 16000;
  long n_fft = 400;
  long bands = 80;
  double low = 0;   ///< Hz
  double high = 0;  ///< Hz; 0 is the Nyquist frequency, a negative number counts down from it
  MelScale scale = MelScale::slaney;
  bool area_norm = false;  ///< each triangle times 2 / (its width in Hz); not for MelScale::kaldi
  // Vocal tract length normalisation: a piecewise linear warp of the corners; MelScale::kaldi only.
  double vtln_warp = 1;
  double vtln_low = 100;
  double vtln_high = -500;  ///< negative: counts down from Nyquist
};

inline double hz_to_mel(MelScale scale, double hz) {
  switch (scale) {
    case MelScale::htk:
      return 2595 * std::log10(1 + hz / 700);
    case MelScale::kaldi:
      return 1127 * std::log(1 + hz / 700);
    case MelScale::slaney:
      break;
  }
  return hz >= 1000 ? 15 + std::log(hz / 1000) * 27 / std::log(6.4) : hz * 3 / 200;
}
inline double mel_to_hz(MelScale scale, double mel) {
  switch (scale) {
    case MelScale::htk:
      return 700 * (std::pow(10.0, mel / 2595) - 1);
    case MelScale::kaldi:
      return 700 * (std::exp(mel / 1127) - 1);
    case MelScale::slaney:
      break;
  }
  return mel >= 15 ? 1000 * std::exp((mel - 15) * std::log(6.4) / 27) : mel * 200 / 3;
}

/// Rows of weights over frequency bins, of which each row has one stretch of non-zero ones.
struct FilterBank {
  long bins = 0;
  std::vector<long> first;  ///< of each band: its first bin
  std::vector<long> begin;  ///< of each band: where its weights begin; one more entry ends the last
  std::vector<double> weights;

  long bands() const { return static_cast<long>(first.size()); }
  /// Appends a band, given its weight at every bin.
  void append(const std::vector<double>& row) {
    if (begin.empty()) begin.push_back(0);
    const auto used = [](double w) { return w != 0; };
    const auto from = std::find_if(row.begin(), row.end(), used);
    const auto to = std::find_if(row.rbegin(), std::make_reverse_iterator(from), used).base();
    first.push_back(from == row.end() ? 0 : from - row.begin());
    weights.insert(weights.end(), from, to);
    begin.push_back(static_cast<long>(weights.size()));
    bins = static_cast<long>(row.size());
  }
  /// (bands, bins), row-major.
  std::vector<double> dense() const {
    std::vector<double> all(static_cast<size_t>(bands() * bins), 0.0);
    for (size_t b = 0; b < first.size(); ++b)
      std::copy(weights.begin() + begin[b], weights.begin() + begin[b + 1],
                all.begin() + static_cast<long>(b) * bins + first[b]);
    return all;
  }
};

namespace detail {

/// Kaldi's warp of a frequency: slope 1 / warp in the middle, and straight lines to the fixed ends.
inline double vtln(double hz, double low, double high, double vtln_low, double vtln_high, double warp) {
  if (hz < low || hz > high) return hz;
  const double l = vtln_low * std::max(1.0, warp), h = vtln_high * std::min(1.0, warp), slope = 1 / warp;
  if (hz < l) return low + (slope * l - low) / (l - low) * (hz - low);
  if (hz < h) return slope * hz;
  return high + (high - slope * h) / (high - h) * (hz - high);
}

}  // namespace detail

/// Triangles between bands + 2 points that are equally spaced in mel, over the n_fft / 2 + 1 bins of a spectrum.
/// A band that lies between two bins is empty. Throws ConfigError if the frequencies are out of order.
inline FilterBank mel_filters(const MelConfig& c) {
  const double nyquist = c.sample_rate / 2;
  const double high = c.high <= 0 ? nyquist + c.high : c.high;
  if (c.bands < 1 || c.n_fft < 1 || !(c.sample_rate > 0))
    throw ConfigError(
        concat("mel filters: need at least 1 band, an n_fft of at least 1 and a sample rate above 0, got ", c.bands,
               ", ", c.n_fft, " and ", c.sample_rate));
  if (!(c.low >= 0 && c.low < high && high <= nyquist))
    throw ConfigError(
        concat("mel filters: need 0 <= low < high <= ", nyquist, " Hz, got low ", c.low, " and high ", high));
  const bool kaldi = c.scale == MelScale::kaldi;
  const double vtln_high = c.vtln_high < 0 ? nyquist + c.vtln_high : c.vtln_high;
  if (c.vtln_warp != 1 && !(kaldi && c.vtln_warp > 0 && c.vtln_low > c.low && c.vtln_low < high && vtln_high > 0 &&
                            vtln_high < high && vtln_high > c.vtln_low))
    throw ConfigError(concat("mel filters: warping by ", c.vtln_warp, " needs the kaldi scale and low ", c.low,
                             " < vtln_low ", c.vtln_low, " < vtln_high ", vtln_high, " < high ", high));

  const double from = hz_to_mel(c.scale, c.low), to = hz_to_mel(c.scale, high);
  const auto corner = [&](long i) {  // in mel for kaldi, in Hz for the others
    const double mel = from + (to - from) * static_cast<double>(i) / static_cast<double>(c.bands + 1);
    if (!kaldi) return mel_to_hz(c.scale, mel);
    if (c.vtln_warp == 1) return mel;
    return hz_to_mel(c.scale, detail::vtln(mel_to_hz(c.scale, mel), c.low, high, c.vtln_low, vtln_high, c.vtln_warp));
  };
  FilterBank bank;
  std::vector<double> row(static_cast<size_t>(c.n_fft / 2 + 1));
  for (long b = 0; b < c.bands; ++b) {
    const double left = corner(b), centre = corner(b + 1), right = corner(b + 2);
    for (size_t k = 0; k < row.size(); ++k) {
      const double hz = static_cast<double>(k) * c.sample_rate / static_cast<double>(c.n_fft);
      const double at = kaldi ? hz_to_mel(c.scale, hz) : hz;
      row[k] = std::max(0.0, std::min((at - left) / (centre - left), (right - at) / (right - centre)));
      if (c.area_norm && !kaldi) row[k] *= 2 / (right - left);
    }
    if (kaldi) row.back() = 0;
    bank.append(row);
  }
  return bank;
}

}  // namespace phonaut
