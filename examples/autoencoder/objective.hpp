#pragma once
// What the autoencoder is trained for: sound like the recording, guess what was hidden, keep the latents in shape.
#include <functional>

#include "model.hpp"

/// How far a reconstruction is from its recording.
using Distance = std::function<Var<B, 0>(const Waveform<B>& got, const Waveform<B>& want)>;

/// Mean absolute difference of log-mel spectra over five window lengths, 8 to 128 ms. The loss of the waveform, and the
/// "mel distance" of the report.
class MultiScaleMel {
 public:
  MultiScaleMel(Context<B>& ctx, int rate);
  /// Natural logarithm, mean over scales of the mean over real frames and bands.
  Var<B, 0> operator()(const Waveform<B>& got, const Waveform<B>& want) const;
  const std::vector<phonaut::LogMel<B>>& scales() const { return scales_; }

 private:
  std::vector<phonaut::LogMel<B>> scales_;
};

/// Log-spectral distance over windows of 64 ms: root mean square over bins of the difference of log10 power, mean over
/// frames.
class LogSpectralDistance {
 public:
  explicit LogSpectralDistance(int rate);
  Var<B, 0> operator()(const Waveform<B>& got, const Waveform<B>& want) const { return distance_(got, want); }
  /// What is compared: log10 of the power (N, T, bins).
  Sequence<B> features(const Waveform<B>& x) const { return spectral_features(x, plan_); }

 private:
  phonaut::SpectralScales<B> distance_;
  phonaut::SharedSpectralPlan<float> plan_;
};

/// The terms of one step, as numbers for the log.
struct Terms {
  double reconstruction = 0, semantic = 0, regulariser = 0;
};

/// The default weight of a bottleneck's regulariser.
double default_regulariser_weight(const std::string& bottleneck);

/// Which latent frames (N · T) are hidden: spans at random places, about `share` of each utterance.
std::vector<char> draw_hidden(const Sequence<B>& latents, double share, long span);

/// The whole loss of a batch.
Var<B, 0> objective(const Autoencoder& model, const MultiScaleMel& distance, const Waveform<B>& x,
                    const TrainConfig& config, Terms& terms);
