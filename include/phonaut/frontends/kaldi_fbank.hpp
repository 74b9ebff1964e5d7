#pragma once
// Kaldi's log-mel filterbank, with all its options.
#include "phonaut/core/param.hpp"
#include "phonaut/frontends/cmvn.hpp"
#include "phonaut/frontends/feature_stream.hpp"
#include "phonaut/ops/spectral_features.hpp"

namespace phonaut {

/// Options that Kaldi's filterbank and MFCC share, under Kaldi's names where they are plain.
struct KaldiConfig {
  double sample_rate = 16000;
  double frame_length_ms = 25, frame_shift_ms = 10;
  double dither = 0;  ///< standard deviation of Gaussian noise added to the samples while training (Kaldi: 1 on int16)
  bool remove_dc = true;
  double preemphasis = 0.97;
  Window window = Window::povey();
  bool round_to_power_of_two = true;
  bool snip_edges = true;  ///< only frames that fit; else samples / shift frames, the signal mirrored at its ends
  long bands = 23;
  double low = 20;
  double high = 0;  ///< 0 or negative: counts from the Nyquist frequency (lhotse, icefall: -400)
  double vtln_warp = 1, vtln_low = 100, vtln_high = -500;
  bool use_energy = false;  ///< the frame's log energy as a column of its own, the first …
  bool htk_compat = false;  ///< … or the last
  bool raw_energy = true;   ///< measured before preemphasis and window
  double energy_floor = 1;  ///< 0 leaves float's epsilon as the floor
  bool use_log = true, use_power = true;
  bool subtract_mean = false;  ///< over the utterance
  double input_scale = 1;      ///< 32768 turns samples in [-1, 1] into the int16 range that Kaldi's recipes saw

  /// What lhotse computes for icefall's recipes.
  static KaldiConfig lhotse(long bands = 80) { return {.snip_edges = false, .bands = bands, .high = -400}; }
  /// Kaldi's own filterbank scripts: 80 bands of samples in the int16 range.
  static KaldiConfig kaldi(long bands = 80) { return {.bands = bands, .input_scale = 32768}; }

  long frame_length() const { return samples(frame_length_ms); }
  long frame_shift() const { return samples(frame_shift_ms); }
  long n_fft() const {
    if (!round_to_power_of_two) return frame_length();
    long n = 1;
    while (n < frame_length()) n *= 2;
    return n;
  }
  MelConfig mel() const {
    return {.sample_rate = sample_rate,
            .n_fft = n_fft(),
            .bands = bands,
            .low = low,
            .high = high,
            .scale = MelScale::kaldi,
            .vtln_warp = vtln_warp,
            .vtln_low = vtln_low,
            .vtln_high = vtln_high};
  }
  /// The options of the plan. Throws ConfigError for a frame of no samples.
  SpectralConfig analysis() const {
    constexpr double epsilon = 1.1920928955078125e-07;  // of float; Kaldi floors all logarithms there
    if (frame_length() < 1 || frame_shift() < 1)
      throw ConfigError(concat("kaldi features: frames of ", frame_length_ms, " ms every ", frame_shift_ms, " ms have ",
                               frame_length(), " samples every ", frame_shift(), " at ", sample_rate, " Hz"));
    SpectralConfig c{.n_fft = n_fft(),
                     .hop = frame_shift(),
                     .window_length = frame_length(),
                     .window_centred = false,
                     .window = window,
                     .edge = Edge::symmetric,
                     .remove_mean = remove_dc,
                     .preemphasis = preemphasis,
                     .energy = !use_energy  ? FrameEnergy::none
                               : raw_energy ? FrameEnergy::raw
                                            : FrameEnergy::windowed,
                     .energy_floor = std::max(epsilon, energy_floor),
                     .energy_last = htk_compat,
                     .spectrum = use_power ? Spectrum::power : Spectrum::magnitude,
                     .filters = mel_filters(mel()),
                     .log = use_log,
                     .log_floor = epsilon};
    if (!snip_edges) {
      // Frame f starts at f · shift + shift / 2 - length / 2.
      c.pad_left = frame_length() / 2 - frame_shift() / 2;
      c.pad_right = frame_length();
      c.tail = SpectralConfig::Tail::nearest;
    }
    return c;
  }

 private:
  long samples(double ms) const { return static_cast<long>(sample_rate * 0.001 * ms); }
};

/// Scale and dither. Kaldi draws the noise per frame; here it is drawn per sample, so that overlapping frames agree.
template <class B>
Waveform<B> kaldi_input(const Waveform<B>& x, const KaldiConfig& config) {
  using S = typename B::Scalar;
  Var<B, 2> samples = config.input_scale == 1 ? x.samples : S(config.input_scale) * x.samples;
  auto& ctx = x.context();
  if (config.dither > 0 && ctx.training())
    samples = samples + input(ctx, samples.shape(), draw<S>(ctx, samples.size(), Init::normal(config.dither)));
  return x.with(samples);
}

/// Waveform (N, samples) -> log-mel frames (N, T, bands, and one more with use_energy), with gradient.
template <class B>
struct KaldiFbank {
  using Config = KaldiConfig;

  KaldiFbank(Context<B>&, Config c) : config(c), plan(make_spectral_plan<B>(c.analysis())) {}

  /// Throws ConfigError if the waveform has another sample rate.
  Sequence<B> operator()(const Waveform<B>& x) const {
    check_rate("kaldi filterbank", x, config.sample_rate);
    const Sequence<B> y = spectral_features(kaldi_input(x, config), plan);
    return config.subtract_mean ? utterance_cmvn(y, {.variance = false}) : y;
  }

  /// The state of `batch` streams. Throws ConfigError for a batch of none, or with subtract_mean, which takes the whole
  /// utterance.
  FeatureStreamState<B> start(long batch) const {
    if (config.subtract_mean)
      throw ConfigError("kaldi filterbank: a stream has no mean to subtract before it has ended");
    return start_features<B>("kaldi filterbank", *plan, batch);
  }
  /// The next samples of each stream, any number of them -> the frames that they complete, possibly none; the lengths
  /// count each stream's. A stream of which the chunk holds fewer than T samples ends there, and gives all that are
  /// left. Together the frames of a stream are bit for bit those of its recording. Throws as `stream_features`, and
  /// ConfigError for another sample rate. Records nothing and does not dither.
  Sequence<B> operator()(const Waveform<B>& chunk, FeatureStreamState<B>& state) const {
    return advance(chunk, chunk.time(), state);
  }
  /// Ends all streams that have not ended, and returns what they still give.
  Sequence<B> finish(Context<B>& ctx, FeatureStreamState<B>& state) const {
    const auto nothing = ctx.empty(Shape<2>{state.streams.batch(), 0});
    return advance({ctx.constant(nothing), {}, config.sample_rate}, 1, state);
  }
  long frames(long samples) const { return plan->frames(samples); }
  double frame_rate() const { return config.sample_rate / static_cast<double>(config.frame_shift()); }
  static void visit(auto&, auto&&) {}

  Config config;
  SharedSpectralPlan<typename B::Scalar> plan;

 private:
  Sequence<B> advance(const Waveform<B>& chunk, long whole, FeatureStreamState<B>& state) const {
    check_rate("kaldi filterbank", chunk, config.sample_rate);
    const Streaming<B> streaming(chunk.context());
    return stream_features("kaldi filterbank", *plan, kaldi_input(chunk, config), whole, state);
  }
};

}  // namespace phonaut
