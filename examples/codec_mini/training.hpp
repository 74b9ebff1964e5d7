#pragma once
// Trains a codec; what was interrupted goes on where it stopped.
#include <filesystem>
#include <ostream>

#include "codec.hpp"
#include "common/corpus.hpp"

struct Trained {
  Codec model;  ///< the running average of the weights
  TrainConfig config;
  nlohmann::json facts;
  bool finished = true;
};

/// Several sets as one. Throws ConfigError without a recording to train with.
std::vector<phonaut::Utterance> recordings_of(const std::vector<std::string>& data, const std::string& split);

/// Trains in `folder`, or returns what was trained there before with the same settings.
Trained train(Context<B>& ctx, const ModelConfig& model, const TrainConfig& config, const std::filesystem::path& folder,
              std::ostream& out);
/// A model that has seen its training data, so that its codebooks have entries, but took no step.
Codec untrained(Context<B>& ctx, const ModelConfig& model, const TrainConfig& config);
Trained read_model(Context<B>& ctx, const std::filesystem::path& file);
