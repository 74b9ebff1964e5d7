#pragma once
// What units know, of words and of speakers, and what they cost.
#include <nlohmann/json.hpp>
#include <phonaut/metrics/clusters.hpp>
#include <phonaut/units/bpe.hpp>
#include <phonaut/units/runs.hpp>

#include "clusters.hpp"

/// The recordings of a run. Those of some speakers are heard: clusters and pairs come from them. The other speakers are
/// unheard, and measured.
struct Material {
  std::vector<phonaut::Utterance> recordings;  ///< each of at least one frame
  RecordedFrames cepstra;                      ///< of each
  std::vector<size_t> heard, unheard;          ///< indices of recordings
  std::vector<std::string> unheard_speakers;
  long words = 0, speakers = 0;  ///< different ones
  std::string held_out;          ///< the training speaker who was moved to the unheard ones; empty: nobody
};

/// Reads everything. Speakers of the train split are heard; where that leaves fewer than two others, the last of them
/// by name is held out too: two are needed to ask about words across unheard speakers. Throws ConfigError without
/// two speakers, at least one of them heard.
Material material_of(phonaut::Context<B>& ctx, const std::string& data);

/// What was heard of the pairs of units.
struct Tokens {
  phonaut::UnitBpe bpe;
  std::vector<phonaut::UnitRuns> runs;     ///< of each recording
  std::vector<std::vector<long>> encoded;  ///< of each recording: its runs as tokens
};
/// Runs of units, and pairs of them that are frequent among the heard recordings.
Tokens tokens_of(const Material& material, const Units& units, long clusters, long merges);

/// Word of each frame (it inherits that of its recording: there is no alignment of phones), speaker of each frame,
/// unit of each frame: of some recordings.
phonaut::ClusterQuality word_quality(const Material& material, const Units& units, const std::vector<size_t>& which);
phonaut::ClusterQuality speaker_quality(const Material& material, const Units& units);
/// The same with the token that covers a frame as its unit.
phonaut::ClusterQuality token_quality(const Material& material, const Tokens& tokens);

/// Rates over the unheard recordings: frames, runs, durations and tokens per second, their bits by log2 of the alphabet
/// and behind an entropy coder whose table is that of the heard ones.
nlohmann::json rates_of(const Material& material, const Units& units, const Tokens& tokens, long clusters);

/// Which recordings words are compared by: at most `takes` of each word by each speaker.
struct WordPairs {
  std::vector<size_t> templates;  ///< heard
  std::vector<size_t> asked;      ///< unheard
};
WordPairs word_pairs(const Material& material, long takes);

/// Share of `asked` whose word is that of the template with the fewest edits between their runs, by the length of the
/// longer one.
double nearest_word(const Material& material, const Tokens& tokens, const WordPairs& pairs);
/// ABX over words across the unheard speakers, of the frames themselves.
double abx_of_frames(const Material& material, const RecordedFrames& frames, const WordPairs& pairs);
/// The same of runs: units are 0 apart if they are equal, else 1/2, along the cheapest alignment.
double abx_of_runs(const Material& material, const Tokens& tokens, long clusters, const WordPairs& pairs);
