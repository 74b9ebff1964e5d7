#pragma once
// Log-mel spectrograms, in the dialects of the published systems.
#include "phonaut/frontends/feature_stream.hpp"
#include "phonaut/frontends/wave_norm.hpp"
#include "phonaut/ops/floor_below_peak.hpp"
#include "phonaut/ops/formula/log_plus.hpp"
#include "phonaut/ops/map.hpp"
#include "phonaut/ops/stft.hpp"

namespace phonaut {

/// Waveform (N, samples) -> log-mel frames (N, T, bands), with gradient. Frames behind an utterance's end are zero.
template <class B>
struct LogMel {
  enum class Scale {
    linear,   ///< no logarithm
    natural,  ///< ln max(mel, floor)
    common,   ///< log10 max(mel, floor)
    decibel   ///< 10 log10 max(mel, floor)
  };
  /// Where the first frame stands, and how the ends of the signal are filled.
  enum class Framing {
    centred,   ///< frame t is centred on sample t · hop: 1 + samples / hop frames
    stretched  ///< (n_fft - hop) / 2 samples of padding at both ends: samples / hop frames (vocoders)
  };
  struct Config {
    double sample_rate = 16000;
    double dither = 0;       ///< standard deviation of Gaussian noise added to the samples while training
    double preemphasis = 0;  ///< c of x_i - c x_{i-1} over the whole signal, with zero in front of it
    long n_fft = 400;
    long hop = 160;
    long window_length = 0;  ///< 0: n_fft
    Window window = {};
    Framing framing = Framing::centred;
    Edge edge = Edge::reflect;
    bool drop_last = false;  ///< one frame less than the framing gives
    Spectrum spectrum = Spectrum::power;
    double eps = 0;  ///< of Spectrum::smooth_magnitude
    long bands = 80;
    double low = 0, high = 0;  ///< Hz; high 0 is the Nyquist frequency
    MelScale mel = MelScale::slaney;
    bool area_norm = true;
    Scale scale = Scale::natural;
    double floor = 1e-5;
    double guard = 0;            ///< above 0: added to the bands in front of the logarithm, in the place of the floor
    bool whisper_range = false;  ///< values are cut off 8 below the utterance's peak, then (v + 4) / 4
    bool normalise = false;      ///< each band by its mean and unbiased deviation + 1e-5 over the utterance
    long pad_to = 0;             ///< cut, or extended with zeros, to so many samples first; 0 leaves the length
  };

  /// Whisper's input: log10 of power, 80 or 128 Slaney bands up to 8 kHz, the last frame dropped. For inference set
  /// `pad_to` to 480000.
  static Config whisper(long bands = 80) {
    return {
        .drop_last = true, .bands = bands, .high = 8000, .scale = Scale::common, .floor = 1e-10, .whisper_range = true};
  }
  /// torchaudio.transforms.MelSpectrogram's defaults: power, HTK scale, no area norm, no logarithm.
  static Config torchaudio(long bands = 128) {
    return {.hop = 200, .bands = bands, .mel = MelScale::htk, .area_norm = false, .scale = Scale::linear};
  }
  /// librosa.feature.melspectrogram's defaults in decibel (without its cut below the peak).
  static Config librosa(double sample_rate = 22050, long bands = 128) {
    return {.sample_rate = sample_rate,
            .n_fft = 2048,
            .hop = 512,
            .edge = Edge::zero,
            .bands = bands,
            .scale = Scale::decibel,
            .floor = 1e-10};
  }
  /// The mel spectrogram of HiFi-GAN and the vocoders after it: smoothed magnitudes, natural logarithm.
  static Config hifigan(double sample_rate = 22050, long n_fft = 1024, long hop = 256, long bands = 80,
                        double high = 8000) {
    return {.sample_rate = sample_rate,
            .n_fft = n_fft,
            .hop = hop,
            .framing = Framing::stretched,
            .spectrum = Spectrum::smooth_magnitude,
            .eps = 1e-9,
            .bands = bands,
            .high = high};
  }
  /// NeMo's input for Conformer, FastConformer and Parakeet (nemo/collections/asr/parts/preprocessing/features.py, with
  /// normalize = "per_feature"): samples / hop frames, zeros around the signal.
  static Config nemo(long bands = 80) {
    return {.dither = 1e-5,
            .preemphasis = 0.97,
            .n_fft = 512,
            .window_length = 400,
            .window = Window::hann().symmetric(),
            .edge = Edge::zero,
            .drop_last = true,
            .bands = bands,
            .guard = 0x1p-24,
            .normalise = true};
  }

  /// Throws ConfigError for options that do not fit together.
  LogMel(Context<B>&, Config c) : config(c) {
    if (c.spectrum == Spectrum::complex) throw ConfigError("log-mel: the spectrum must be a power or a magnitude");
    const long pad = c.framing == Framing::centred ? c.n_fft / 2 : (c.n_fft - c.hop) / 2;
    if (!(c.guard >= 0) || !(c.dither >= 0))
      throw ConfigError(concat("log-mel: guard and dither must not be negative, got ", c.guard, " and ", c.dither));
    if (pad < 0) throw ConfigError(concat("log-mel: a hop of ", c.hop, " is longer than an n_fft of ", c.n_fft));
    plan = make_spectral_plan<B>({.n_fft = c.n_fft,
                                  .hop = c.hop,
                                  .window_length = c.window_length,
                                  .window = c.window,
                                  .pad_left = pad,
                                  .pad_right = pad,
                                  .edge = c.edge,
                                  .drop_last = c.drop_last,
                                  .spectrum = c.spectrum,
                                  .eps = c.eps,
                                  .filters = mel_filters({.sample_rate = c.sample_rate,
                                                          .n_fft = c.n_fft,
                                                          .bands = c.bands,
                                                          .low = c.low,
                                                          .high = c.high,
                                                          .scale = c.mel,
                                                          .area_norm = c.area_norm}),
                                  .log = c.scale != Scale::linear && c.guard == 0,
                                  .log_floor = c.floor,
                                  .log_scale = log_scale()});
  }

  /// Throws ConfigError if the waveform has another sample rate.
  Sequence<B> operator()(const Waveform<B>& x) const {
    check_rate("log-mel", x, config.sample_rate);
    Sequence<B> y = guarded(spectral_features(prepared(config.pad_to > 0 ? fitted(x) : x), plan));
    if (config.normalise) y = utterance_cmvn(y, {.eps = 1e-5, .unbiased = true, .eps_outside = true});
    return config.whisper_range ? floor_below_peak(y, 8, 4, 0.25) : y;
  }

  /// The state of `batch` streams. Throws ConfigError for a batch of none, and for options that look at the whole
  /// utterance: whisper_range, normalise, pad_to and preemphasis.
  FeatureStreamState<B> start(long batch) const {
    if (config.whisper_range || config.normalise || config.pad_to > 0 || config.preemphasis != 0)
      throw ConfigError(
          "log-mel: a stream can have no whisper_range, normalise, pad_to or preemphasis, which take the whole "
          "utterance");
    return start_features<B>("log-mel", *plan, batch);
  }
  /// The next samples of each stream -> the frames that they complete, as KaldiFbank (frontends/kaldi_fbank.hpp).
  Sequence<B> operator()(const Waveform<B>& chunk, FeatureStreamState<B>& state) const {
    return advance(chunk, chunk.time(), state);
  }
  /// Ends all streams that have not ended, and returns what they still give.
  Sequence<B> finish(Context<B>& ctx, FeatureStreamState<B>& state) const {
    const auto nothing = ctx.empty(Shape<2>{state.streams.batch(), 0});
    return advance({ctx.constant(nothing), {}, config.sample_rate}, 1, state);
  }
  /// Frames that so many samples give.
  long frames(long samples) const { return plan->frames(config.pad_to > 0 ? config.pad_to : samples); }
  double frame_rate() const { return config.sample_rate / static_cast<double>(config.hop); }
  static void visit(auto&, auto&&) {}

  Config config;
  SharedSpectralPlan<typename B::Scalar> plan;

 private:
  using S = typename B::Scalar;

  double log_scale() const {
    return config.scale == Scale::common    ? 1 / std::log(10.0)
           : config.scale == Scale::decibel ? 10 / std::log(10.0)
                                            : 1.0;
  }
  Sequence<B> guarded(const Sequence<B>& y) const {
    if (config.scale == Scale::linear || config.guard == 0) return y;
    return mask_frames(y.with(S(log_scale()) * map(y.frames, formula::LogPlus{static_cast<float>(config.guard)})));
  }
  Sequence<B> advance(const Waveform<B>& chunk, long whole, FeatureStreamState<B>& state) const {
    check_rate("log-mel", chunk, config.sample_rate);
    const Streaming<B> streaming(chunk.context());
    return guarded(stream_features("log-mel", *plan, chunk, whole, state));
  }
  Waveform<B> prepared(Waveform<B> x) const {
    auto& ctx = x.context();
    if (config.dither > 0 && ctx.training())
      x = x.with(x.samples +
                 input(ctx, x.samples.shape(), draw<S>(ctx, x.samples.size(), Init::normal(config.dither))));
    return config.preemphasis == 0 ? x : preemphasis(x, config.preemphasis, Edge::zero);
  }
  Waveform<B> fitted(const Waveform<B>& x) const {
    const long keep = std::min(x.time(), config.pad_to);
    Waveform<B> cut{slice(x.samples, 1, 0, keep), {}, x.rate};
    if (x.padded()) {
      cut.lengths = x.context().empty_lengths(x.batch());
      for (long n = 0; n < x.batch(); ++n) cut.lengths.data()[n] = std::min(x.length(n), keep);
    }
    return {pad_signal(cut, 0, 0, Edge::zero, config.pad_to), {}, x.rate};
  }
};

}  // namespace phonaut
