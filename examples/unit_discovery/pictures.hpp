#pragma once
// What the run found, to look at.
#include <string>

#include "measures.hpp"

/// A recording with its units.
struct Sounding {
  std::string title;
  std::vector<float> samples;
  int rate = 0;
  std::vector<float> mel;  ///< (frames, bands), log
  long bands = 0;
  double frame_rate = 0;
  phonaut::UnitRuns runs;
  std::vector<long> tokens;
};
/// Reads it again, with the filterbank behind its cepstra.
Sounding sounding_of(phonaut::Context<B>& ctx, const phonaut::Utterance& recording, int rate,
                     const phonaut::UnitRuns& runs, const std::vector<long>& tokens);

/// An SVG file: waveform, mel spectrogram, units and tokens over a time axis that all share. A unit has the same colour
/// everywhere.
std::string words_picture(const std::vector<Sounding>& soundings, const phonaut::UnitBpe& bpe);

/// An SVG file of the sweep over kinds of features and numbers of clusters: `table` is an array of objects as the
/// program's results hold them, `chosen` the key of the features whose rates are shown.
std::string sweep_picture(const nlohmann::json& table, const std::string& chosen);
