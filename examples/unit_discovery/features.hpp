#pragma once
// What is clustered: cepstra, with or without their slopes, with or without what a speaker's voice adds to them.
#include <string>
#include <vector>

#include "common/recorded_frames.hpp"

using B = phonaut::Backend;

/// One kind of features.
struct FeatureKind {
  std::string key, name;  ///< for commands and for people
  bool slopes = false;    ///< first and second derivatives beside the 13 cepstra
  enum class Speaker {
    as_is,
    mean,     ///< every channel of a speaker has mean 0
    variance  ///< and deviation 1
  } speaker = Speaker::as_is;

  long dim() const { return slopes ? 39 : 13; }
};

const std::vector<FeatureKind>& feature_kinds();
/// Throws ConfigError if there is none of that key.
const FeatureKind& feature_kind(const std::string& key);

/// Kaldi's 13 cepstra with slopes and their slopes, 39 numbers a hundred times a second.
RecordedFrames cepstra_of(phonaut::Context<B>& ctx, const std::vector<phonaut::Utterance>& recordings, int rate);
/// Those numbers as one kind of features. A speaker's statistics are of all of that speaker's recordings; recordings of
/// unknown speakers are one speaker.
RecordedFrames as_kind(const FeatureKind& kind, const RecordedFrames& cepstra,
                       const std::vector<phonaut::Utterance>& recordings);
