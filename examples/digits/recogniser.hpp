#pragma once
// Waveform -> filterbank -> causal Zipformer -> CTC: heard as a whole, or piece by piece while somebody speaks.
#include <phonaut/decoders/ctc.hpp>
#include <phonaut/phonaut.hpp>

#include "config.hpp"

using phonaut::Context;
using phonaut::Sequence;
using phonaut::Waveform;
using B = phonaut::Backend;

/// Labels for texts, and texts for labels.
class Vocabulary {
 public:
  Vocabulary(std::string units, std::vector<std::string> names) : units_(std::move(units)), names_(std::move(names)) {}
  /// Every word, or character, that occurs in the transcripts, sorted. Words are put together with spaces, so a space
  /// is one of the characters. Throws ConfigError if there are fewer than two.
  static std::vector<std::string> names_in(const std::vector<phonaut::Utterance>& utterances, const std::string& units);

  /// The number of classes: all labels and the blank.
  long classes() const { return static_cast<long>(names_.size()) + 1; }
  /// Throws FormatError for a text with an unknown word or character.
  std::vector<long> labels_of(const std::string& text) const;
  std::string text_of(const std::vector<long>& labels) const;
  /// What a label adds to a text, which does not begin with a space.
  std::string piece_of(long label, bool at_start) const;

 private:
  std::string units_;
  std::vector<std::string> names_;
};

struct Recogniser {
  /// `training` says what the encoder does in training alone.
  Recogniser(Context<B>& ctx, const ModelConfig& config,
             const phonaut::ZipformerTraining& training = phonaut::ZipformerTraining::off());

  /// (N, samples) -> (N, T, bands) at 100 Hz: log-mel, brought to about unit size.
  Sequence<B> features(const Waveform<B>& x) const { return sized(fbank(x)); }
  /// Log-mel brought to about unit size.
  static Sequence<B> sized(const Sequence<B>& bands);
  /// Features to logits (N, T'', classes) at 25 Hz, chunk by chunk.
  Sequence<B> logits(const Sequence<B>& features) const { return head(encoder(features, chunking())); }
  /// What is said in each utterance.
  std::vector<std::string> texts(const Waveform<B>& x) const;

  phonaut::Chunking chunking() const { return {.frames = config.chunk, .left = config.left}; }
  static void visit(auto& self, auto&& f) {
    f("encoder", self.encoder);
    f("head", self.head);
  }

  ModelConfig config;
  Vocabulary vocabulary;
  phonaut::KaldiFbank<B> fbank;
  phonaut::ZipformerEncoder<B> encoder;
  phonaut::Linear<B> head;
};

/// Hears one speaker, piece by piece.
class Listener {
 public:
  /// Both must outlive it.
  Listener(Context<B>& ctx, const Recogniser& model);
  /// The next samples; returns the text that has become clear by them.
  std::string hear(const std::vector<float>& samples);
  /// Nothing more comes; returns the rest of the text.
  std::string finish();

 private:
  std::string understood(const Sequence<B>& bands);
  std::string decoded(const Sequence<B>& frames);

  Context<B>& ctx_;
  const Recogniser& model_;
  phonaut::FeatureStreamState<B> sound_;
  phonaut::ZipformerEncoderState<B> state_;
  phonaut::CtcGreedy greedy_;
  phonaut::CtcGreedy::State said_;
  bool silent_ = true;  ///< nothing was said yet
};
