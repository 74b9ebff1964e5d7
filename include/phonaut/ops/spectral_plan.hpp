#pragma once
// How a signal is cut into frames and what becomes of each: options in plain words, and the tables made from them.
#include <memory>
#include <optional>

#include "phonaut/ops/fft_plan.hpp"
#include "phonaut/ops/formula/spectral_frames.hpp"
#include "phonaut/ops/mel.hpp"
#include "phonaut/ops/pad_signal.hpp"
#include "phonaut/ops/window.hpp"

namespace phonaut {

using spectral::FrameEnergy;
using spectral::Spectrum;

/// Everything between a waveform and features. `StftConfig` and the presets of frontends/ fill it in.
struct SpectralConfig {
  /// How many frames a signal has.
  enum class Tail {
    drop,    ///< as many as fit: 1 + (padded samples - extent) / hop
    fill,    ///< so many that no sample is lost; zeros behind the last. At least one.
    nearest  ///< samples / hop, rounded (Kaldi without snip_edges)
  };
  long n_fft = 400;
  long hop = 160;
  long window_length = 0;      ///< 0: n_fft. A shorter window is filled up with zeros …
  bool window_centred = true;  ///< … on both sides, or else behind it, and then frames reach only as far as the window
  Window window = {};
  double scale = 1;   ///< of the windowed samples
  long pad_left = 0;  ///< negative: so many samples are skipped
  long pad_right = 0;
  Edge edge = Edge::reflect;
  Tail tail = Tail::drop;
  bool drop_last = false;  ///< one frame less (Whisper)
  bool remove_mean = false;
  double preemphasis = 0;
  FrameEnergy energy = FrameEnergy::none;
  double energy_floor = 0;
  bool energy_last = false;
  Spectrum spectrum = Spectrum::power;
  double eps = 0;
  std::optional<FilterBank> filters = {};
  bool log = false;
  double log_floor = 0;
  double log_scale = 1;  ///< of the natural logarithm
};

/// The tables of a SpectralConfig. Immutable: build it once per layer, share it between threads.
template <class T>
class SpectralPlan {
 public:
  /// Throws ConfigError for sizes that do not fit together.
  explicit SpectralPlan(const SpectralConfig& config) : config_(config), fft_(config.n_fft) {
    SpectralConfig& c = config_;
    if (c.window_length == 0) c.window_length = c.n_fft;
    if (c.window_length < 1 || c.window_length > c.n_fft || c.hop < 1)
      throw ConfigError(concat("stft: need 1 <= window length <= n_fft and hop >= 1, got ", c.window_length, ", ",
                               c.n_fft, " and ", c.hop));
    if (c.pad_right < 0) throw ConfigError(concat("stft: padding must not be negative, got ", c.pad_right));
    if (c.filters && c.filters->bins != fft_.bins())
      throw ConfigError(concat("stft: the filters have ", c.filters->bins, " bins, but an n_fft of ", c.n_fft,
                               " gives ", fft_.bins()));
    if (c.spectrum == Spectrum::complex && (c.filters || c.log || c.energy != FrameEnergy::none))
      throw ConfigError("stft: a complex spectrum takes no filters, logarithm or energy; choose power or magnitude");
    for (double w : window_values(c.window, c.window_length)) window_.push_back(static_cast<T>(w * c.scale));
    tables_.fft = fft_.tables();
    tables_.window = window_.data();
    tables_.length = c.window_length;
    tables_.offset = c.window_centred ? (c.n_fft - c.window_length) / 2 : 0;
    tables_.hop = c.hop;
    tables_.remove_mean = c.remove_mean;
    tables_.preemphasis = static_cast<T>(c.preemphasis);
    tables_.energy = c.energy;
    tables_.energy_floor = static_cast<T>(c.energy_floor);
    tables_.energy_last = c.energy_last;
    tables_.spectrum = c.spectrum;
    tables_.eps = static_cast<T>(c.eps);
    tables_.log = c.log;
    tables_.log_floor = static_cast<T>(c.log_floor);
    tables_.log_scale = static_cast<T>(c.log_scale);
    if (c.filters) {
      weights_.assign(c.filters->weights.begin(), c.filters->weights.end());
      tables_.bands = c.filters->bands();
      tables_.first = c.filters->first.data();
      tables_.begin = c.filters->begin.data();
      tables_.weights = weights_.data();
    }
  }
  SpectralPlan(const SpectralPlan&) = delete;
  SpectralPlan& operator=(const SpectralPlan&) = delete;

  const SpectralConfig& config() const { return config_; }
  const spectral::Analysis<T>& tables() const { return tables_; }
  long columns() const { return tables_.columns(); }
  long bins() const { return fft_.bins(); }
  /// Samples from the first to the last one that a frame looks at.
  long extent() const { return config_.window_centred ? config_.n_fft : config_.window_length; }
  /// Frames of a signal; none of no samples.
  long frames(long samples) const {
    const SpectralConfig& c = config_;
    if (samples <= 0) return 0;
    const long beyond = samples + c.pad_left + c.pad_right - extent();
    long count = 0;
    if (c.tail == SpectralConfig::Tail::nearest) count = (samples + c.hop / 2) / c.hop;
    else if (c.tail == SpectralConfig::Tail::fill) count = beyond <= 0 ? 1 : (beyond + c.hop - 1) / c.hop + 1;
    else count = beyond < 0 ? 0 : 1 + beyond / c.hop;
    return c.drop_last && count > 0 ? count - 1 : count;
  }
  /// Length of the padded signal that `frames` frames of `samples` samples need.
  long padded(long samples, long frames) const {
    return std::max(samples + config_.pad_left + config_.pad_right,
                    frames > 0 ? (frames - 1) * config_.hop + extent() : 0);
  }
  /// Whether frames may be read from the signal as it is.
  bool in_place() const {
    return config_.pad_left == 0 && config_.pad_right == 0 && config_.tail == SpectralConfig::Tail::drop;
  }

 private:
  SpectralConfig config_;
  FftPlan<T> fft_;
  std::vector<T> window_, weights_;
  spectral::Analysis<T> tables_;
};

/// A plan that layers and recorded ops share.
template <class S>
using SharedSpectralPlan = std::shared_ptr<const SpectralPlan<TableOf<S>>>;

template <class B>
SharedSpectralPlan<typename B::Scalar> make_spectral_plan(const SpectralConfig& config) {
  return std::make_shared<const SpectralPlan<TableOf<typename B::Scalar>>>(config);
}

}  // namespace phonaut
