#pragma once
// What the flagship measured, and the page that shows it.
#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

/// One utterance before and after.
struct Listening {
  std::string label, speaker;
  std::filesystem::path original, reconstructed;       ///< wav files
  std::vector<float> mel_original, mel_reconstructed;  ///< (frames, mels), log scale
  int mels = 0;
};

/// One trained model.
struct Run {
  std::string bottleneck;  ///< "sigreg", "kl", "none", "rvq" or "fsq"
  std::uint64_t seed = 0;
  nlohmann::json metrics;                 ///< name -> number, see evaluate.hpp
  nlohmann::json training;                ///< seconds, seconds_per_step, peak_mb, skipped_steps
  nlohmann::json curves;                  ///< name -> list of numbers, beside "step"
  std::vector<double> spectrum;           ///< eigenvalues of the latent covariance, largest first
  std::vector<double> histogram_centres;  ///< of all latent values, standardised
  std::vector<double> histogram_density;
  std::vector<Listening> examples;
};

struct Report {
  nlohmann::json about;     ///< data, model, budget, machine, command
  nlohmann::json baseline;  ///< trivial reconstruction: the mean mel frame
  std::vector<Run> runs;

  /// Mean, standard deviation, least and greatest of every metric, per bottleneck.
  nlohmann::json summary() const;
  /// Writes report.json and report.html (self-contained) into `folder`, each whole or not at all.
  void write(const std::filesystem::path& folder) const;
};
