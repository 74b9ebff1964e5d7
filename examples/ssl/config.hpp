#pragma once
// What the self-supervised example can be told: the shape of the model and how it is trained. Stored in every
// checkpoint.
#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

/// Sizes of the model. The defaults hear 8 kHz, the rate of the recordings that the probe asks about, and make 50
/// frames of a second.
struct ModelConfig {
  int rate = 8000;  ///< of the waveform, Hz
  long stem = 64;   ///< channels of the stem's convolutions
  std::vector<long> taps = {10, 3, 3, 3, 3, 2}, strides = {5, 2, 2, 2, 2, 2};
  std::vector<long> dims = {96, 128, 96};
  std::vector<long> layers = {2, 2, 2};
  std::vector<long> factors = {1, 2, 1};
  std::vector<long> feedforward = {192, 256, 192};
  long heads = 4;
  long kernel = 15;
  long classes = 64;       ///< clusters
  double temperature = 1;  ///< of the logits. Recipes say 0.1, for hundreds of thousands of steps
};
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(ModelConfig, rate, stem, taps, strides, dims, layers, factors, feedforward, heads,
                                   kernel, classes, temperature)

/// How a model is trained.
struct TrainConfig {
  std::string data = "librispeech_mini";
  std::uint64_t seed = 1;
  long steps = 1200;
  double batch_seconds = 8;  ///< of audio per step
  double cut_seconds = 4;    ///< longest piece of a recording
  double learning_rate = 2e-3;
  long warmup = 100;
  double weight_decay = 0.01;
  double ema = 0.99;
  double mask_probability = 0.65;  ///< as in SpanMasks: about half of the frames are hidden
  long mask_span = 10;             ///< frames
  double stem_penalty = 0;         ///< of the recipe's 10, nothing: a layer norm behind the stem undoes it here
  double unmasked_weight = 1;      ///< of frames that are not hidden, in the loss
  double speed = 0.1;              ///< recordings play up to so much faster or slower
  double noise = 25;               ///< dB: the least distance of white noise from the speech that it is added to
  long target_layer = 3;           ///< whose clusters the next model predicts, counted over all layers
  int threads = 0;                 ///< 0: all
  std::string precision = "fp32";  ///< of matrix products: "fp32" or "bf16"
  long checkpoint_every = 200;
};
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(TrainConfig, data, seed, steps, batch_seconds, cut_seconds, learning_rate, warmup,
                                   weight_decay, ema, mask_probability, mask_span, stem_penalty, unmasked_weight, speed,
                                   noise, target_layer, precision, checkpoint_every)
