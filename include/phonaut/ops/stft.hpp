#pragma once
// Short-time Fourier transform and its inverse, both with exact gradients, and the inverse-transform head of vocoders.
#include "phonaut/ops/spectral_features.hpp"

namespace phonaut {

/// Options of a transform and its inverse; the defaults are torch's.
struct StftConfig {
  enum class Scale {
    none,
    length,  ///< divided by sqrt(n_fft): torch's `normalized`
    window   ///< divided by sqrt(Σ w²): torchaudio's "window"
  };
  long n_fft = 400;
  long hop = 160;
  long window_length = 0;  ///< 0: n_fft; a shorter window stands in the middle of n_fft
  Window window = {};
  bool centre = true;  ///< frame t is centred on sample t · hop: n_fft / 2 samples of padding at both ends
  Edge edge = Edge::reflect;
  Scale scale = Scale::none;

  long window_samples() const { return window_length > 0 ? window_length : n_fft; }
  double forward_scale() const {
    if (scale == Scale::none) return 1;
    if (scale == Scale::length) return 1 / std::sqrt(static_cast<double>(n_fft));
    double squares = 0;
    for (double w : window_values(window, window_samples())) squares += w * w;
    return 1 / std::sqrt(squares);
  }
  /// The options of a plan that computes `spectrum`.
  SpectralConfig analysis(Spectrum spectrum, double eps = 0) const {
    const long pad = centre ? n_fft / 2 : 0;
    return {.n_fft = n_fft,
            .hop = hop,
            .window_length = window_length,
            .window = window,
            .scale = forward_scale(),
            .pad_left = pad,
            .pad_right = pad,
            .edge = edge,
            .spectrum = spectrum,
            .eps = eps};
  }
};

/// The tables of an inverse transform. Immutable.
template <class T>
class SynthesisPlan {
 public:
  /// `polar`: spectra come as (log magnitude, phase), with magnitudes up to `clip`. `trim`: samples dropped at both
  /// ends; by default the n_fft / 2 of a centred transform. Throws ConfigError for sizes that do not fit together.
  explicit SynthesisPlan(const StftConfig& config, bool polar = false, double clip = 0, long trim = -1)
      : config_(config), fft_(config.n_fft) {
    const long n = config.n_fft, length = config.window_samples();
    if (length > n || config.hop < 1)
      throw ConfigError(
          concat("istft: need 1 <= window length <= n_fft and hop >= 1, got ", length, ", ", n, " and ", config.hop));
    trim_ = trim >= 0 ? trim : config.centre ? n / 2 : 0;
    const double scale = 1 / (static_cast<double>(n) * config.forward_scale());
    std::vector<double> phases(static_cast<size_t>(config.hop), 0.0);
    long i = 0;
    for (double w : window_values(config.window, length)) {
      window_.push_back(static_cast<T>(w * scale));
      squares_.push_back(static_cast<T>(w * w));
      phases[static_cast<size_t>(i++ % config.hop)] += w * w;
    }
    for (double e : phases) inverse_envelope_.push_back(e > least_envelope ? static_cast<T>(1 / e) : T(0));
    tables_.fft = fft_.tables();
    tables_.window = window_.data();
    tables_.squares = squares_.data();
    tables_.inverse_envelope = inverse_envelope_.data();
    tables_.length = length;
    tables_.offset = (n - length) / 2;
    tables_.hop = config.hop;
    tables_.trim = trim_;
    tables_.polar = polar;
    tables_.clip = static_cast<T>(clip);
  }
  SynthesisPlan(const SynthesisPlan&) = delete;
  SynthesisPlan& operator=(const SynthesisPlan&) = delete;

  const StftConfig& config() const { return config_; }
  const spectral::Synthesis<T>& tables() const { return tables_; }
  long bins() const { return fft_.bins(); }
  /// Samples of the signal that `frames` frames describe, before and after trimming.
  long untrimmed(long frames) const { return frames > 0 ? (frames - 1) * config_.hop + config_.n_fft : 0; }
  long samples(long frames) const { return std::max(0L, untrimmed(frames) - 2 * trim_); }
  /// Throws ConfigError if the windows of `frames` frames leave one of the first `samples` samples without weight.
  void check_envelope(long frames, long samples) const {
    const long end = std::min(trim_ + samples, untrimmed(frames)), length = tables_.length;
    const auto check = [&](long from, long to) {
      for (long p = from; p < to; ++p)
        if (tables_.envelope_inverse(frames, p, tables_.phase(p)) == T(0))
          throw ConfigError(concat("istft: the windows of ", frames, " frames (length ", length, ", hop ", config_.hop,
                                   ") add up to nothing at sample ", p - trim_,
                                   "; use a centred transform, a smaller hop or another window"));
    };
    // All samples in between are like those of one period.
    const long left = std::min(end, tables_.offset + length + config_.hop), right = std::max(left, end - length);
    check(trim_, left);
    check(right, end);
  }

 private:
  static constexpr double least_envelope = 1e-11;
  StftConfig config_;
  FftPlan<T> fft_;
  long trim_ = 0;
  std::vector<T> window_, squares_, inverse_envelope_;
  spectral::Synthesis<T> tables_;
};

template <class S>
using SharedSynthesisPlan = std::shared_ptr<const SynthesisPlan<TableOf<S>>>;

namespace detail {

/// Overlap-add of spectra (N, T, 2F) to (N, samples); `samples` < 0 takes what the frames describe.
template <class B>
Waveform<B> synthesise(const char* op, const Sequence<B>& spectra, const SharedSynthesisPlan<typename B::Scalar>& plan,
                       long samples) {
  using S = typename B::Scalar;
  check_lengths(op, spectra);
  check_channels(op, spectra.frames.shape(), plan->tables().columns(), "an n_fft of ", plan->config().n_fft);
  const Var<B, 3> x = packed(spectra.frames);
  auto& ctx = x.context();
  const Lengths frames = spectra.lengths;
  Lengths limits;
  if (samples < 0 && frames) {
    limits = ctx.empty_lengths(spectra.batch());
    for (long n = 0; n < spectra.batch(); ++n) limits.data()[n] = plan->samples(frames.data()[n]);
  }
  const long all = samples >= 0 ? samples : plan->samples(spectra.time());
  if (frames)
    for (long n = 0; n < spectra.batch(); ++n) plan->check_envelope(frames.data()[n], limits ? limits.data()[n] : all);
  else plan->check_envelope(spectra.time(), all);
  auto y = ctx.empty(Shape<2>{spectra.batch(), all});
  const auto pointer = [](const Lengths& l) { return l ? l.data() : static_cast<const long*>(nullptr); };
  {
    const auto scratch = ctx.empty(Shape<1>{kernel::spectral_scratch(ctx.backend(), plan->tables())});
    kernel::synthesis_forward(ctx.backend(), plan->tables(), x.in(), pointer(frames), pointer(limits), y.out(),
                              scratch.data());
  }
  auto waveform = record(
      std::move(y),
      [=](Context<B>& c, const Tensor<B, 2>& dy) {
        const Sink<S, 3> dx = c.sink(x);
        if (!dx) return;
        const auto dz = c.empty(Shape<2>{x.extent(0), plan->untrimmed(x.extent(1))});
        kernel::synthesis_unwindow(c.backend(), plan->tables(), dy.in(), pointer(frames), x.extent(1), pointer(limits),
                                   dz.out());
        const auto scratch = c.empty(Shape<1>{kernel::spectral_scratch(c.backend(), plan->tables())});
        kernel::synthesis_backward(c.backend(), plan->tables(), x.in(), pointer(frames), dz.in(), dx, scratch.data());
      },
      x);
  return {std::move(waveform), limits, spectra.rate * static_cast<double>(plan->config().hop)};
}

}  // namespace detail

/// The short-time transform of x (N, samples) -> (N, T, n_fft / 2 + 1, 2), real and imaginary parts side by side.
template <class B>
Var<B, 4> stft(const Waveform<B>& x, const SharedSpectralPlan<typename B::Scalar>& plan) {
  const Var<B, 3> y = spectral_features(x, plan).frames;
  return reshape(y, Shape<4>{y.extent(0), y.extent(1), plan->bins(), 2});
}
template <class B>
Var<B, 4> stft(const Var<B, 2>& x, const StftConfig& config) {
  return stft(Waveform<B>{x, {}, 0}, make_spectral_plan<B>(config.analysis(Spectrum::complex)));
}
/// |X|², |X| … of the short-time transform: x (N, samples) -> (N, T, n_fft / 2 + 1).
template <class B>
Var<B, 3> spectrogram(const Var<B, 2>& x, const StftConfig& config, Spectrum spectrum = Spectrum::power,
                      double eps = 0) {
  return spectral_features(Waveform<B>{x, {}, 0}, make_spectral_plan<B>(config.analysis(spectrum, eps))).frames;
}

/// The inverse: spectra (N, T, n_fft / 2 + 1, 2) -> (N, samples), overlap-added and divided by the overlapped squared
/// window. The imaginary parts at 0 and at the Nyquist frequency are ignored. `samples` cuts or extends (with what the
/// trimmed tail holds, then zeros); -1 takes as many as the frames describe. Throws ConfigError if the windows leave
/// gaps.
template <class B>
Var<B, 2> istft(const Var<B, 4>& spectra, const SharedSynthesisPlan<typename B::Scalar>& plan, long samples = -1) {
  if (spectra.extent(2) != plan->bins() || spectra.extent(3) != 2)
    throw ShapeError(concat("istft: spectra have shape ", text(spectra.shape()), " but an n_fft of ",
                            plan->config().n_fft, " needs (N, T, ", plan->bins(), ", 2)"));
  const auto rows = reshape(spectra, Shape<3>{spectra.extent(0), spectra.extent(1), 2 * plan->bins()});
  return detail::synthesise("istft", Sequence<B>{rows, {}, 0}, plan, samples).samples;
}
template <class B>
Var<B, 2> istft(const Var<B, 4>& spectra, const StftConfig& config, long samples = -1) {
  return istft(spectra, std::make_shared<const SynthesisPlan<TableOf<typename B::Scalar>>>(config), samples);
}

/// The last op of an inverse-transform vocoder (Siuzdak, "Vocos", 2023): x (N, T, n_fft + 2) holds log magnitudes m,
/// then phases p of each frame; the spectrum min(exp(m), clip) (cos p, sin p) is transformed back and overlap-added.
/// The plan must be a polar one. Where the magnitude is clipped, m gets no gradient.
template <class B>
Waveform<B> istft_head(const Sequence<B>& x, const SharedSynthesisPlan<typename B::Scalar>& plan) {
  if (!plan->tables().polar)
    throw ConfigError("istft_head: the plan takes real and imaginary parts, but magnitudes and phases are needed");
  return detail::synthesise("istft_head", x, plan, -1);
}
/// The plan of an istft_head. With `same`, T frames give T · hop samples ((n_fft - hop) / 2 trimmed at both ends);
/// otherwise it inverts a centred transform.
template <class B>
SharedSynthesisPlan<typename B::Scalar> make_head_plan(const StftConfig& config, bool same = true, double clip = 100) {
  return std::make_shared<const SynthesisPlan<TableOf<typename B::Scalar>>>(
      config, true, clip, same ? (config.n_fft - config.hop) / 2 : -1);
}

}  // namespace phonaut
