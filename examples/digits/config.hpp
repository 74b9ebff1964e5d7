#pragma once
// What the recogniser can be told: the shape of the model and how it is trained. Stored in every checkpoint.
#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

/// Sizes of the recogniser. Frame rates: filterbank 100 Hz, stem 50 Hz, stacks 50 Hz / factor, labels 25 Hz.
struct ModelConfig {
  int rate = 8000;  ///< of the waveform, Hz
  long bands = 24;  ///< of the filterbank: so few that they do not tell the harmonics of a voice apart
  std::vector<long> stem = {8, 16, 32};  ///< channels of the stem's convolutions
  std::vector<long> dims = {64, 96, 64};
  std::vector<long> layers = {1, 2, 1};
  std::vector<long> factors = {1, 2, 1};
  std::vector<long> feedforward = {128, 192, 128};
  long heads = 4;
  long kernel = 15;
  long chunk = 16, left = 64;      ///< stem frames that are heard at once, and that are looked back on: 0.32 and 1.28 s
  std::string units = "words";     ///< what a label stands for: "words" or "characters"
  std::vector<std::string> names;  ///< of the labels 1, 2, …; the label 0 is the blank
};
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(ModelConfig, rate, bands, stem, dims, layers, factors, feedforward, heads, kernel,
                                   chunk, left, units, names)

/// How a model is trained.
struct TrainConfig {
  std::string data = "arabic_digits";
  std::string held_out;  ///< a speaker of the train split who stands in for the test split; empty: nobody
  std::uint64_t seed = 1;
  long epochs = 80;
  long recordings = 12;  ///< in a batch
  double learning_rate = 0.03;
  double ema = 0.99;
  double recipe = 20000;  ///< published batches whose schedules the training runs through; 0: without that recipe
  long most_words = 3;    ///< of a string
  double speed = 0.25;    ///< recordings play up to so much faster or slower
  double tilt = 0.4;      ///< how much the filters of microphones and rooms vary: 0 … 1
  double gain = 12;       ///< strings are up to so many dB louder or softer
  double noise = -25;     ///< dB of full scale: the loudest noise that strings get
  std::string precision = "fp32";  ///< of matrix products: "fp32" or "bf16"
};
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(TrainConfig, data, held_out, seed, epochs, recordings, learning_rate, ema, recipe,
                                   most_words, speed, tilt, gain, noise, precision)
