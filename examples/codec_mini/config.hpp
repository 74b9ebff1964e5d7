#pragma once
// What the codec can be told: the shape of the model and how it is trained. Stored in every checkpoint.
#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

/// Sizes of the codec: SEANet, a residual quantizer, SEANet backwards.
struct ModelConfig {
  std::string domain = "spectrum";       ///< what SEANet works on: "spectrum" or "waveform"
  int rate = 16000;                      ///< of the waveform, Hz
  long hop = 160;                        ///< samples between frames of the spectrum
  long bands = 80;                       ///< of the log-mel spectrum that is coded
  long channels = 128;                   ///< before the first stride; doubled by each
  long dims = 64;                        ///< of a latent frame
  std::vector<long> strides{2};          ///< latents come at rate / hop / strides: 50 Hz
  std::vector<long> dilations{1, 2, 4};  ///< of the residual units at each rate
  long levels = 4;                       ///< codes for each frame, at most
  long entries = 256;                    ///< of each codebook: 8 bits

  /// SEANet on samples, as published: more work for each second of sound, and many more steps until it is understood.
  static ModelConfig waveform() {
    return {.domain = "waveform", .hop = 1, .channels = 16, .strides = {2, 4, 5, 8}, .dilations = {1}};
  }
  long samples_per_code() const {
    long all = hop;
    for (const long stride : strides) all *= stride;
    return all;
  }
};
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(ModelConfig, domain, rate, hop, bands, channels, dims, strides, dilations, levels,
                                   entries)

/// How a model is trained.
struct TrainConfig {
  std::vector<std::string> data{"librispeech_mini", "arabic_digits"};
  std::uint64_t seed = 1;
  long steps = 14000;
  long recordings = 4;  ///< in a batch
  double seconds = 1;   ///< of each
  double speed = 0;     ///< recordings play up to so much faster or slower
  double tilt = 0.2;    ///< how much the filters of microphones and rooms vary: 0 … 1
  double gain = 6;      ///< recordings are up to so many dB louder or softer
  double learning_rate = 4e-4;
  double ema = 0.998;
  double adversarial_from = 0.95;  ///< share of the training behind which discriminators take part
  double judges_ahead = 0.1;       ///< by which share of the training they begin to learn earlier
  double mel = 2;                  ///< shares of the gradient at the waveform
  double wave = 0;                 ///< of the difference between waveforms; spectra without phases cannot bring it down
  double judged = 0.2;             ///< of what discriminators say, and of what they see in place of the recording
  double features = 4;             ///< how much more what they see counts
  double commitment = 0.25;
  long discriminator_channels = 8;
  double discriminator_rate = 1e-3;
  double loudness = 16;  ///< discriminators hear so many times louder: they begin with small weights
};
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(TrainConfig, data, seed, steps, recordings, seconds, speed, tilt, gain,
                                   learning_rate, ema, adversarial_from, judges_ahead, mel, wave, judged, features,
                                   commitment, discriminator_channels, discriminator_rate, loudness)
