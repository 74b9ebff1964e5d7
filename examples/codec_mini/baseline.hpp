#pragma once
// What a codec without a learned transform does with as many bits: it codes log-mel frames, and Griffin-Lim finds a
// waveform that has them.
#include <phonaut/frontends/log_mel.hpp>

#include "codec.hpp"

/// Log-mel frames at the codec's frame rate, quantized by as many levels of as many entries.
class MelCoder {
 public:
  /// Fits the codebooks to recordings.
  MelCoder(Context<B>& ctx, const ModelConfig& config, const std::vector<phonaut::Utterance>& recordings,
           std::uint64_t seed);
  /// There and back. `levels` 0: all; -1: the frames as they are, as if bits cost nothing.
  std::vector<float> reconstruct(Context<B>& ctx, const std::vector<float>& samples, long levels) const;

 private:
  std::vector<float> magnitudes(const std::vector<float>& mel, long frames) const;

  int rate_;
  phonaut::LogMel<B> mel_;
  phonaut::FilterBank filters_;
  phonaut::ResidualQuantizer<B> quantizer_;
};
