#pragma once
// Training one model, from the first step or from where it was stopped.
#include <filesystem>
#include <memory>
#include <ostream>

#include "common/corpus.hpp"
#include "targets.hpp"

/// A model that was trained or read from a file, with what is known about it.
struct Trained {
  std::shared_ptr<Model> model;  ///< the averaged weights
  ModelConfig shape;
  TrainConfig config;
  nlohmann::json facts;  ///< iteration, seconds, steps, parameters, accuracy on the valid split
  bool finished = true;  ///< false if a signal stopped the training before its last step
};

/// The recordings that a model is trained on: all but the valid split, for nothing is asked about the others.
std::vector<phonaut::Utterance> heard(const Corpus& corpus);

/// Trains a model to predict `targets` in `folder`: targets.safetensors (the clusters), latest.safetensors (everything
/// that a resumed run needs), model.safetensors (the averaged model, written at the end), log.jsonl. `out` gets
/// progress, and loss and accuracy. Ctrl-C and SIGTERM write a checkpoint and return. Throws ConfigError if the folder
/// holds a run with other settings.
Trained pretrain(Context<B>& ctx, const ModelConfig& shape, const TrainConfig& config, const Corpus& corpus,
                 Targets targets, int iteration, const std::filesystem::path& folder, std::ostream& out);

/// The weights that a model had before its first step.
Model untrained(Context<B>& ctx, const Trained& trained);

/// Reads a model.safetensors. Throws LoadError, FileError or FormatError.
Trained read_model(Context<B>& ctx, const std::filesystem::path& file);
