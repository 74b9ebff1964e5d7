#pragma once
// What the autoencoder is trained for: sound like the recording, guess what was hidden, keep the latents in shape.
#include "model.hpp"

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

/// The terms of one step, as numbers for the log.
struct Terms {
  double reconstruction = 0, semantic = 0, regulariser = 0;
};

/// The default weight of a bottleneck's regulariser.
double default_regulariser_weight(const std::string& bottleneck);

/// The whole loss of a batch.
Var<B, 0> objective(const Autoencoder& model, const MultiScaleMel& distance, const Waveform<B>& x,
                    const TrainConfig& config, Terms& terms);
