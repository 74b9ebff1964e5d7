#pragma once
// The autoencoder: log-mel -> Zipformer stacks at 50, 25 and 12.5 Hz -> latents at 25 Hz -> bottleneck -> Zipformer
// stacks -> magnitudes and phases at 100 Hz -> inverse STFT.
#include <phonaut/phonaut.hpp>

#include "config.hpp"

using phonaut::Backend;
using phonaut::Context;
using phonaut::Param;
using phonaut::Sequence;
using phonaut::Var;
using phonaut::Waveform;
using B = Backend;

/// What the encoder makes of a waveform.
struct Latents {
  Sequence<B> value;   ///< (N, T, latent) at 25 Hz: the code, or the mean of the posterior
  Sequence<B> spread;  ///< log variance of the posterior, for "kl"; otherwise empty
};

/// What the decoder is given.
struct Coded {
  Sequence<B> value;  ///< a sample of the posterior, quantized latents, or the latents themselves
  Var<B, 0> loss;     ///< what a quantizer adds to the loss; empty otherwise
};

struct Autoencoder {
  Autoencoder(Context<B>& ctx, const ModelConfig& config);

  /// Waveforms whose lengths are multiples of `samples_per_latent`. `hidden`, if given, marks latent frames (N, T) that
  /// are replaced by a learned vector behind the stem, for the semantic objective.
  Latents encode(const Waveform<B>& x, const std::vector<char>* hidden = nullptr) const;
  /// Samples the posterior of "kl" while it trains, quantizes for "rvq" and "fsq", and passes the latents on otherwise.
  /// In training the codebooks of "rvq" follow what they are shown.
  Coded bottleneck(const Latents& latents) const;
  /// Codes (N, T, codebooks) of latents, for "rvq" and "fsq". Throws ConfigError for continuous latents.
  phonaut::Codes<B> codes(const Sequence<B>& latents) const;
  /// Entries of one codebook; 0 for continuous latents.
  long entries() const;
  /// Bits per second of the codes; 0 for continuous latents.
  double bitrate() const;
  Waveform<B> decode(const Sequence<B>& coded) const;
  /// What the latents of hidden frames are, guessed from the latents of a view with those frames hidden.
  Var<B, 3> predict(const Sequence<B>& latents) const;

  static void visit(auto& self, auto&& f) {
    f("stem", self.stem);
    f("hidden_frame", self.hidden_frame);
    f("encoder", self.encoder);
    f("encoder_norm", self.encoder_norm);
    f("to_latent", self.to_latent);
    f("rvq", self.rvq);
    f("to_levels", self.to_levels);
    f("from_levels", self.from_levels);
    f("predictor_in", self.predictor_in);
    f("predictor_out", self.predictor_out);
    f("from_latent", self.from_latent);
    f("decoder", self.decoder);
    f("decoder_norm", self.decoder_norm);
    f("head", self.head);
  }

  ModelConfig config;
  phonaut::LogMel<B> mel;
  phonaut::Linear<B> stem;  ///< two mel frames -> one frame at 50 Hz
  Param<B, 1> hidden_frame;
  std::vector<phonaut::ZipformerStack<B>> encoder;
  phonaut::BiasNorm<B> encoder_norm;
  phonaut::Linear<B> to_latent;  ///< two frames at 50 Hz -> one latent
  std::optional<phonaut::ResidualQuantizer<B>> rvq;
  std::optional<phonaut::FiniteScalarQuantizer<B>> fsq;  ///< nothing to train; around it:
  std::optional<phonaut::Linear<B>> to_levels, from_levels;
  phonaut::Linear<B> predictor_in, predictor_out;
  phonaut::Linear<B> from_latent;
  std::vector<phonaut::ZipformerStack<B>> decoder;
  phonaut::BiasNorm<B> decoder_norm;
  phonaut::Linear<B> head;  ///< one frame at 50 Hz -> two spectra at 100 Hz
  phonaut::SharedSynthesisPlan<float> synthesis;
};

/// Utterances of one batch, each padded with zeros to whole latent frames of the model.
Waveform<B> to_waveform(Context<B>& ctx, const std::vector<float>& samples, const std::vector<long>& lengths, long time,
                        const ModelConfig& config);
