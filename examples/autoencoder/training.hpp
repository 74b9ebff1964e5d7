#pragma once
// Training one autoencoder, from the first step or from where it was stopped.
#include <filesystem>
#include <ostream>

#include "common/corpus.hpp"
#include "objective.hpp"

/// A model that was trained or read from a file, with what is known about it.
struct Trained {
  Autoencoder model;  ///< the averaged weights
  TrainConfig config;
  nlohmann::json facts;  ///< seconds, seconds_per_step, peak_mb, dropped_steps, skipped_recordings
  nlohmann::json
      curves;  ///< "step", "loss", "reconstruction", "semantic", "regulariser"; "validation_step", "validation"
  bool finished = true;  ///< false if a signal stopped the training before its last step
};

/// Trains in `folder`: latest.safetensors (everything that a resumed run needs), model.safetensors (the averaged model,
/// written at the end), log.jsonl. A run that was interrupted goes on bit for bit; one that is finished is only read.
/// `out` gets progress and notes; Ctrl-C and SIGTERM write a checkpoint and return.
/// Throws ConfigError if the folder holds a run with other settings.
Trained train(Context<B>& ctx, const ModelConfig& model, const TrainConfig& config, const Corpus& corpus,
              const std::filesystem::path& folder, std::ostream& out);

/// Reads a model.safetensors. Throws LoadError, FileError or FormatError.
Trained read_model(Context<B>& ctx, const std::filesystem::path& file);

/// Mean distance of reconstructions over recordings, each counted by its samples.
double mean_distance(Context<B>& ctx, const Autoencoder& model, const Distance& distance,
                     const std::vector<phonaut::Utterance>& utterances);
