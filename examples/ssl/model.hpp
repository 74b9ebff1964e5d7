#pragma once
// The model, and what else can be made of a waveform: the features that it is compared with.
#include <functional>
#include <phonaut/models/zipformer_ssl.hpp>
#include <phonaut/phonaut.hpp>

#include "common/waveforms.hpp"
#include "config.hpp"

using phonaut::Context;
using phonaut::Sequence;
using phonaut::Waveform;
using B = phonaut::Backend;

using Model = phonaut::ZipformerSsl<B>;

/// The library's settings for ours. Throws ConfigError for lists that do not fit together.
Model::Config model_config(const ModelConfig& config);

/// Where features can be taken from a model: behind every layer, in order.
std::vector<phonaut::ZipformerPick> all_layers(const ModelConfig& config);
/// One of them, counted from 0. Throws ConfigError if there are not so many.
phonaut::ZipformerPick layer_at(const ModelConfig& config, long layer);
/// "1.0": layer 0 of stack 1.
std::string name_of(const phonaut::ZipformerPick& pick);

/// Features that nobody trained.
struct Plain {
  std::string name;
  std::function<std::vector<Sequence<B>>(const Waveform<B>&)> frames;
};
/// Log-mel, log-mel with slopes, cepstra with slopes. The context must outlive them.
std::vector<Plain> plain_features(Context<B>& ctx, int rate);
