#pragma once
// The codec: waveform -> codes -> waveform.
#include <optional>
#include <phonaut/decoders/seanet.hpp>
#include <phonaut/encoders/seanet.hpp>
#include <phonaut/frontends/log_mel.hpp>
#include <phonaut/io/code_file.hpp>
#include <phonaut/phonaut.hpp>
#include <phonaut/quantizers/rvq.hpp>

#include "config.hpp"

using B = phonaut::Backend;
using phonaut::Context;
using phonaut::Sequence;
using phonaut::Var;
using phonaut::Waveform;

struct Codec {
  ModelConfig config;
  std::optional<phonaut::LogMel<B>> mel;  ///< where spectra are coded
  phonaut::SharedSynthesisPlan<float> synthesis;
  phonaut::SeanetEncoder<B> encoder;
  phonaut::ResidualQuantizer<B> quantizer;
  phonaut::SeanetDecoder<B> decoder;

  Codec(Context<B>& ctx, const ModelConfig& c);

  /// As many levels as `kbps` pays for, all of them for 0. Throws ConfigError if that is none, or more than there are.
  long levels_for(double kbps) const;
  double kbps(long levels) const { return frame_rate() * quantizer.bits(levels) / 1000; }
  double frame_rate() const { return config.rate / static_cast<double>(config.samples_per_code()); }
  /// What is coded of a waveform of whole codes: (N, T, bands) or (N, samples, 1).
  Sequence<B> signal(const Waveform<B>& x) const;
  /// The waveform of log magnitudes and phases (N, T, window + 2), or of samples (N, samples, 1).
  Waveform<B> sound(const Sequence<B>& signal) const;

  /// Tells models apart: a checksum of the weights.
  std::uint32_t fingerprint() const;

  static void visit(auto& self, auto&& f) {
    f("encoder", self.encoder);
    f("quantizer", self.quantizer);
    f("decoder", self.decoder);
  }
};

/// Codes of a recording at the model's rate; `levels` 0: all. `model` marks the file.
phonaut::CodeFile encode(Context<B>& ctx, const Codec& codec, const std::vector<float>& samples, long levels,
                         std::uint32_t model);
/// The recording of codes, as many samples as were encoded. Throws ConfigError if the codes do not fit the model.
std::vector<float> decode(Context<B>& ctx, const Codec& codec, const phonaut::CodeFile& file);
/// There and back.
std::vector<float> reconstruct(Context<B>& ctx, const Codec& codec, const std::vector<float>& samples, long levels);

/// Samples (one recording after the other, each of length `time`) as a batch.
Waveform<B> to_waveform(Context<B>& ctx, const std::vector<float>& samples, long time, int rate);
