#pragma once
// Strings of digits out of recordings of single ones, for training with variation and for measuring without.
#include <phonaut/phonaut.hpp>
#include <phonaut/training/data.hpp>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "config.hpp"

/// A padded batch of what somebody says, and its text.
struct Spoken {
  std::vector<float> samples;  ///< (N, time)
  long time = 0;
  std::vector<long> lengths;
  std::vector<std::string> texts;

  /// Puts an utterance behind the others.
  void add(std::vector<float> utterance, std::string text);
  /// Pads all utterances to the longest one.
  void pad();
  long size() const { return static_cast<long>(texts.size()); }

 private:
  std::vector<std::vector<float>> utterances_;
};

/// The recordings of a batch in strings of 1 … most_words, with pauses around them, played faster or slower, louder or
/// softer, through another microphone, in noise.
Spoken random_strings(const phonaut::Batch& batch, const std::vector<phonaut::Utterance>& utterances,
                      const TrainConfig& config, phonaut::Random& random);

/// Recordings one after the other, with pauses of a quarter of a second around them, and what they say.
std::pair<std::vector<float>, std::string> joined(std::span<const phonaut::Utterance> recordings, int rate);

/// Recordings in strings of `words`, by one speaker each, in batches: for measurements.
std::vector<Spoken> plain_strings(const std::vector<phonaut::Utterance>& utterances, long words, int rate);

/// A recording of each of the words, given as they are transcribed or labelled ("seven" or "7"), in their order; other
/// takes where a word comes again. Throws ConfigError for a word that nobody says.
std::vector<phonaut::Utterance> takes_of(const std::vector<std::string>& words,
                                         const std::vector<phonaut::Utterance>& utterances);
