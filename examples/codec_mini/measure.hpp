#pragma once
// How far what comes out of a codec is from what went in, on recordings that it was not trained with.
#include <filesystem>
#include <functional>

#include "training.hpp"

/// Means over recordings.
struct Quality {
  double kbps = 0;          ///< of the codes; 0 where nothing was coded
  double mel_distance = 0;  ///< DAC's, summed over windows of 2 to 128 ms: below is better
  double si_sdr = 0;        ///< dB: above is better
  double stoi = 0;          ///< above is better
};
void to_json(nlohmann::json& to, const Quality& from);

using Reconstruct = std::function<std::vector<float>(const std::vector<float>&)>;
/// Measures all recordings of at least `kLeast` seconds (speech enough for STOI), cut to 8 s.
Quality measure(const std::vector<phonaut::Utterance>& recordings, int rate, const Reconstruct& reconstruct);
constexpr double kLeast = 0.8;

/// Measures the model at every rate that it has, beside what an untrained one and coded mel frames do with as many
/// bits; writes the numbers, a picture and a few recordings into `folder` and prints a table.
void report(Context<B>& ctx, const Trained& trained, const std::filesystem::path& folder);
