#pragma once
// The pitch of a voice. Periods are found as in A. de Cheveigné and H. Kawahara, "YIN, a fundamental frequency
// estimator for speech and music", 2002; which of them belong together, and whether there is a voice at all, as in M.
// Mauch and S. Dixon, "pYIN: a fundamental frequency estimator using probabilistic threshold distributions", 2014.
#include <span>
#include <vector>

#include "phonaut/core/param.hpp"
#include "phonaut/core/waveform.hpp"

namespace phonaut {

struct PitchConfig {
  double sample_rate = 16000;
  double low = 60, high = 500;  ///< Hz; nothing outside is found
  double window_ms = 25;        ///< samples compared with those one period later; at least the longest period is good
  double shift_ms = 10;
  double threshold = 0.1;        ///< of YIN: the share of a frame's power that may fail to repeat; pYIN's mean of it
  bool track = true;             ///< pYIN's path through all frames; else each frame on its own, as YIN does
  double octaves_per_s = 35.92;  ///< the steepest change of pitch on a path
  double switching = 0.01;       ///< probability that a voice starts or stops between two frames

  long window() const { return samples(window_ms); }
  long hop() const { return samples(shift_ms); }
  long shortest() const { return static_cast<long>(sample_rate / high); }  ///< period, in samples
  long longest() const { return static_cast<long>(std::ceil(sample_rate / low)); }

 private:
  long samples(double ms) const { return static_cast<long>(sample_rate * 0.001 * ms); }
};

/// What is known of one frame.
struct PitchFrame {
  double f0 = 0;      ///< Hz; 0: no voice
  double voiced = 0;  ///< probability that there is a voice, in [0, 1]
};

/// Frame t is centred on sample t · hop, with zeros around the signal: 1 + samples / hop frames, none of no samples.
///
/// With d_τ = Σ_j (x_j - x_{j+τ})² over a window, d'_τ = d_τ / mean of d_1 … d_τ is the share of the power that does
/// not repeat after τ samples (eq. 6 and 8 of YIN). Its local minima are candidates, refined by a parabola through d.
/// YIN takes the shortest period whose d' is below the threshold; pYIN draws the threshold from a beta distribution
/// B(2, 2 / threshold - 2), which gives every candidate a probability and the frame their sum, and then finds the most
/// probable path (Viterbi) over tenths of semitones, voiced and not. Silence has no voice.
///
/// A path remembers 4 bytes for each frame and tenth of a semitone, 1.5 kB per frame with the default range. Throws
/// ConfigError unless 0 < low < high <= sample_rate / 2, window and shift have samples, no frame is longer than 2^20 of
/// them and the probabilities are in (0, 1); NumericalError for NaN or infinity among the samples.
std::vector<PitchFrame> track_pitch(std::span<const double> samples, const PitchConfig& config);

/// Throws ConfigError as track_pitch.
void check_pitch_config(const PitchConfig& config);

/// Waveform (N, samples) -> (N, 1 + samples / hop, 2): fundamental frequency in Hz (0 where there is no voice), and the
/// probability of a voice. Computed on the host; no gradient.
template <class B>
struct Pitch {
  using Config = PitchConfig;

  /// Throws ConfigError as track_pitch.
  Pitch(Context<B>&, const Config& c) : config(c) { check_pitch_config(c); }

  /// Throws ConfigError if the waveform has another sample rate, NumericalError as track_pitch.
  Sequence<B> operator()(const Waveform<B>& x) const {
    check_lengths("pitch", x);
    check_rate("pitch", x, config.sample_rate);
    auto& ctx = x.context();
    const auto samples = values_of(x.samples);
    Lengths lengths;
    long longest = x.padded() ? 0 : frames(x.time());
    if (x.padded()) {
      lengths = ctx.empty_lengths(x.batch());
      for (long n = 0; n < x.batch(); ++n) longest = std::max(longest, lengths.data()[n] = frames(x.length(n)));
    }
    std::vector<double> rows(static_cast<size_t>(x.batch() * longest * 2), 0.0), own;
    for (long n = 0; n < x.batch(); ++n) {
      const auto from = samples.begin() + n * x.time();
      own.assign(from, from + x.length(n));
      auto to = rows.begin() + n * longest * 2;
      for (const PitchFrame& frame : track_pitch(own, config)) *to++ = frame.f0, *to++ = frame.voiced;
    }
    return {input(ctx, Shape<3>{x.batch(), longest, 2}, rows), lengths, frame_rate()};
  }
  long frames(long samples) const { return samples > 0 ? 1 + samples / config.hop() : 0; }
  double frame_rate() const { return config.sample_rate / static_cast<double>(config.hop()); }
  static void visit(auto&, auto&&) {}

  Config config;
};

}  // namespace phonaut
