#pragma once
// The speech that a program works on: a shipped set by name, or anybody's manifest.
#include <phonaut/io/manifest.hpp>
#include <phonaut/training/data.hpp>
#include <string>
#include <vector>

struct Corpus {
  std::string name;
  std::vector<phonaut::Utterance> all;  ///< with a split each
  bool speakers_disjoint = false;       ///< nobody is heard both in train and in test
  int rate = 0;                         ///< what most recordings have, at most 16000 Hz

  std::vector<phonaut::Utterance> split(const std::string& which) const { return phonaut::in_split(all, which); }
};

/// `data` is a shipped set ("fsdd_digits", "bengali", "librispeech_mini", …), a manifest, a folder or a sound file.
/// Data without splits is split by whole speakers, or by recordings where there are too few speakers.
Corpus load_corpus(const std::string& data);

/// Whole recordings (cut to 8 s), once, in order, in batches: for measurements.
phonaut::DataLoader in_order(const std::vector<phonaut::Utterance>& utterances, int rate);
