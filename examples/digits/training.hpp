#pragma once
// Training one recogniser, from the first step or from where it was stopped, and measuring it.
#include <filesystem>
#include <ostream>
#include <phonaut/metrics/wer.hpp>

#include "common/corpus.hpp"
#include "recogniser.hpp"
#include "strings.hpp"

/// A model that was trained or read from a file, with what is known about it.
struct Trained {
  Recogniser model;  ///< the averaged weights
  TrainConfig config;
  nlohmann::json facts;  ///< seconds, steps, parameters
  bool finished = true;  ///< false if a signal stopped the training before its last step
};

/// The corpus as if a speaker of the train split were its test split, and nobody else's recordings were there to
/// measure with: what settings may be chosen by. Throws ConfigError if nobody in the train split has that name.
Corpus with_held_out(Corpus corpus, const std::string& speaker);

/// Trains in `folder`: latest.safetensors (everything that a resumed run needs), model.safetensors (the averaged model,
/// written at the end), log.jsonl. `out` gets progress, and loss and word error rate of the valid split (of the test
/// split if a speaker is held out) after every epoch. Ctrl-C and SIGTERM write a checkpoint and return. Throws
/// ConfigError if the folder holds a run with other settings.
Trained train(Context<B>& ctx, const ModelConfig& model, const TrainConfig& config, const Corpus& corpus,
              const std::filesystem::path& folder, std::ostream& out);

/// Reads a model.safetensors. Throws LoadError, FileError or FormatError.
Trained read_model(Context<B>& ctx, const std::filesystem::path& file);

/// Edits between what is said and what is heard, in words.
phonaut::EditCounts count_errors(Context<B>& ctx, const Recogniser& model, const std::vector<Spoken>& spoken);
