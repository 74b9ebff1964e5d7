#pragma once
// What the flagship can be told: the shape of the model and how it is trained. Stored in every checkpoint.
#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

/// Sizes of the autoencoder. Frame rates: mel 100 Hz, encoder 50 Hz and below, latents 25 Hz.
struct ModelConfig {
  int rate = 8000;  ///< of the waveform, Hz
  int mels = 64;
  long dim = 96;
  long heads = 4;
  long feedforward = 256;
  long kernel = 15;
  long latent = 32;
  std::vector<long> encoder_factors = {1, 2, 4};  ///< one Zipformer stack each, at 50 Hz / factor
  std::vector<long> decoder_factors = {2, 1};
  std::string bottleneck = "sigreg";        ///< "sigreg", "kl", "none", "rvq" or "fsq"
  long codebooks = 4, codebook_size = 256;  ///< of "rvq"
  std::vector<long> levels = {8, 5, 5, 5};  ///< of one group of "fsq"
  long groups = 3;

  int hop() const { return rate / 100; }
  int window() const { return hop() * 16 / 5; }  ///< 32 ms
  /// Waveforms are padded to whole latent frames.
  int samples_per_latent() const { return 4 * hop(); }
};
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(ModelConfig, rate, mels, dim, heads, feedforward, kernel, latent, encoder_factors,
                                   decoder_factors, bottleneck, codebooks, codebook_size, levels, groups)

/// How a model is trained.
struct TrainConfig {
  std::string data = "fsdd_digits";
  std::uint64_t seed = 1;
  long steps = 800;
  double batch_seconds = 12;  ///< of audio per step
  double learning_rate = 2e-3;
  long warmup = 60;
  double weight_decay = 0.01;
  double clip = 1;
  long accumulate = 1;
  double ema = 0.98;
  double semantic_weight = 0.3;
  double regulariser_weight = 0;   ///< 0: the default of the bottleneck
  double mask_share = 0.35;        ///< of latent frames that the semantic objective hides
  long mask_span = 3;              ///< latent frames hidden together
  long slices = 256;               ///< of SIGReg
  int threads = 0;                 ///< 0: all
  std::string precision = "fp32";  ///< of matrix products: "fp32" or "bf16"
  long checkpoint_every = 200;
};
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(TrainConfig, data, seed, steps, batch_seconds, learning_rate, warmup, weight_decay,
                                   clip, accumulate, ema, semantic_weight, regulariser_weight, mask_share, mask_span,
                                   slices, precision, checkpoint_every)
