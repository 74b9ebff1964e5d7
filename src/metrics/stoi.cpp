#include "phonaut/metrics/stoi.hpp"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <vector>

#include "phonaut/core/error.hpp"
#include "phonaut/ops/fft_plan.hpp"
#include "phonaut/ops/window.hpp"

namespace phonaut {

namespace {

using Signal = std::vector<double>;

constexpr long kRate = 10000, kFrame = 256, kHop = 128, kFft = 512, kBands = 15, kSegment = 30;
constexpr double kLowest = 150;         // centre of the first band, Hz
constexpr double kDynamicRange = 40;    // dB below the loudest frame where silence begins
constexpr double kClip = 5.6234132519;  // 10^(15 / 20): distortion below -15 dB counts as no worse
constexpr double kEps = 2.220446049250313e-16;

double norm(const double* x, long n) { return std::sqrt(std::inner_product(x, x + n, x, 0.0)); }

/// The filter of Octave's resample: a sinc under a Kaiser window with 60 dB of rejection.
Signal resampled(std::span<const float> x, long up, long down) {
  constexpr double pi = 3.14159265358979323846, rejection = 60;
  const double stop = 1 / (2.0 * static_cast<double>(std::max(up, down)));
  const long half = static_cast<long>(std::ceil((rejection - 8) / (28.714 * stop / 10)));
  Signal h = window_values({.kind = Window::Kind::kaiser, .periodic = false, .beta = 0.1102 * (rejection - 8.7)},
                           2 * half + 1);
  double total = 0;
  for (long i = -half; i <= half; ++i) {
    const double t = 2 * stop * static_cast<double>(i);
    total += h[static_cast<size_t>(i + half)] *= i == 0 ? 1 : std::sin(pi * t) / (pi * t);
  }
  for (double& v : h) v *= static_cast<double>(up) / total;
  const long samples = static_cast<long>(x.size());
  Signal y(static_cast<size_t>((samples * up + down - 1) / down));
  for (long m = 0; m < static_cast<long>(y.size()); ++m) {
    const long centre = m * down;
    const long first = std::max(0L, (centre - half + up - 1) / up), last = std::min(samples - 1, (centre + half) / up);
    for (long k = first; k <= last; ++k)
      y[static_cast<size_t>(m)] +=
          h[static_cast<size_t>(half + centre - k * up)] * static_cast<double>(x[static_cast<size_t>(k)]);
  }
  return y;
}

/// numpy.hanning without its two zeros.
Signal frame_window() {
  const Signal all = window_values(Window::hann().symmetric(), kFrame + 2);
  return {all.begin() + 1, all.end() - 1};
}

/// First samples of the frames that the measure looks at.
long frame_count(long samples) { return samples > kFrame ? (samples - kFrame + kHop - 1) / kHop : 0; }

/// The windowed frames in which x is not silent, overlapped and added again.
void remove_silence(Signal& x, Signal& y) {
  const Signal w = frame_window();
  const long frames = frame_count(static_cast<long>(x.size()));
  const auto windowed = [&](const Signal& from, long t) {
    Signal frame(static_cast<size_t>(kFrame));
    for (size_t i = 0; i < frame.size(); ++i) frame[i] = w[i] * from[static_cast<size_t>(t * kHop) + i];
    return frame;
  };
  Signal level;
  for (long t = 0; t < frames; ++t) level.push_back(20 * std::log10(norm(windowed(x, t).data(), kFrame) + kEps));
  const double loudest = level.empty() ? 0 : *std::max_element(level.begin(), level.end());
  Signal kept_x, kept_y;
  for (long t = 0, at = 0; t < frames; ++t) {
    if (!(level[static_cast<size_t>(t)] > loudest - kDynamicRange)) continue;
    for (auto [from, to] : {std::pair{&x, &kept_x}, std::pair{&y, &kept_y}}) {
      to->resize(static_cast<size_t>(at + kFrame));
      const Signal frame = windowed(*from, t);
      for (size_t i = 0; i < frame.size(); ++i) (*to)[static_cast<size_t>(at) + i] += frame[i];
    }
    at += kHop;
  }
  x = std::move(kept_x);
  y = std::move(kept_y);
}

/// Root energies (bands, frames) of third octaves.
std::vector<Signal> third_octaves(const Signal& x) {
  const auto bin = [](double hertz) {  // the nearest, the lower of two
    return static_cast<long>(std::ceil(hertz * kFft / kRate - 0.5));
  };
  const FftPlan<double> fft(kFft);
  const Signal w = frame_window();
  const long frames = frame_count(static_cast<long>(x.size()));
  std::vector<Signal> bands(static_cast<size_t>(kBands), Signal(static_cast<size_t>(frames)));
  Signal a(static_cast<size_t>(fft.tables().room())), b = a;
  for (long t = 0; t < frames; ++t) {
    std::fill(a.begin(), a.end(), 0.0);
    for (size_t i = 0; i < w.size(); ++i) a[i] = w[i] * x[static_cast<size_t>(t * kHop) + i];
    const double* const z = spectral::rfft(fft.tables(), a.data(), b.data());
    for (long k = 0; k < kBands; ++k) {
      const double centre = static_cast<double>(2 * k);
      double energy = 0;
      for (long i = bin(kLowest * std::exp2((centre - 1) / 6)); i < bin(kLowest * std::exp2((centre + 1) / 6)); ++i)
        energy += z[2 * i] * z[2 * i] + z[2 * i + 1] * z[2 * i + 1];
      bands[static_cast<size_t>(k)][static_cast<size_t>(t)] = std::sqrt(energy);
    }
  }
  return bands;
}

/// Takes out the mean and divides by the norm; all zeros stay.
void normalise(double* x, long n, long step) {
  double mean = 0, squares = 0;
  for (long i = 0; i < n; ++i) mean += x[i * step] / static_cast<double>(n);
  for (long i = 0; i < n; ++i) {
    x[i * step] -= mean;
    squares += x[i * step] * x[i * step];
  }
  for (long i = 0; i < n; ++i) x[i * step] /= std::sqrt(squares) + kEps;
}

/// Correlation of the bands of a segment, (bands, frames) each, summed over bands.
double band_correlations(Signal& x, Signal& y) {
  for (long k = 0; k < kBands; ++k) {
    double *const clean = x.data() + k * kSegment, *const other = y.data() + k * kSegment;
    const double scale = norm(clean, kSegment) / (norm(other, kSegment) + kEps);
    for (long i = 0; i < kSegment; ++i) other[i] = std::min(other[i] * scale, clean[i] * (1 + kClip));
    normalise(clean, kSegment, 1);
    normalise(other, kSegment, 1);
  }
  return std::inner_product(x.begin(), x.end(), y.begin(), 0.0);
}
/// Correlation of the spectra of a segment, summed over frames, bands of equal energy.
double spectrum_correlations(Signal& x, Signal& y) {
  for (Signal* s : {&x, &y}) {
    for (long k = 0; k < kBands; ++k) normalise(s->data() + k * kSegment, kSegment, 1);
    for (long i = 0; i < kSegment; ++i) normalise(s->data() + i, kBands, kSegment);
  }
  return std::inner_product(x.begin(), x.end(), y.begin(), 0.0);
}

}  // namespace

double stoi(std::span<const float> clean, std::span<const float> degraded, long rate, bool extended) {
  if (clean.size() != degraded.size())
    throw ShapeError(concat("stoi: the clean signal has ", clean.size(), " samples, the other ", degraded.size()));
  if (rate < 1) throw ConfigError(concat("stoi: the sample rate must be at least 1 Hz, got ", rate));
  const long common = std::gcd(kRate, rate);
  const auto at_rate = [&](std::span<const float> x) {
    return rate == kRate ? Signal(x.begin(), x.end()) : resampled(x, kRate / common, rate / common);
  };
  Signal x = at_rate(clean), y = at_rate(degraded);
  remove_silence(x, y);
  const auto bands_x = third_octaves(x), bands_y = third_octaves(y);
  const long frames = static_cast<long>(bands_x.front().size()), segments = frames - kSegment + 1;
  if (segments < 1) return 1e-5;
  const auto segment = [](const std::vector<Signal>& bands, long t) {
    Signal part;
    for (const Signal& band : bands) part.insert(part.end(), band.begin() + t, band.begin() + t + kSegment);
    return part;
  };
  double total = 0;
  for (long t = 0; t < segments; ++t) {
    Signal sx = segment(bands_x, t), sy = segment(bands_y, t);
    total += extended ? spectrum_correlations(sx, sy) : band_correlations(sx, sy);
  }
  return total / static_cast<double>(segments * (extended ? kSegment : kBands));
}

}  // namespace phonaut
