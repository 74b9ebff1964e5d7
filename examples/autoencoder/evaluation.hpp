#pragma once
// What a trained model does with speech that it has not heard.
#include "report.hpp"
#include "training.hpp"

/// Latents of recordings, frame by frame and pooled.
struct Embedded {
  std::vector<float> frames;                   ///< (frames, latent), all recordings one after the other
  std::vector<float> pooled;                   ///< (recordings, 2 latent): mean and standard deviation over time
  std::vector<std::int32_t> labels, speakers;  ///< (recordings), -1 if unknown
};
Embedded embed(Context<B>& ctx, const Autoencoder& model, const std::vector<phonaut::Utterance>& utterances,
               const phonaut::ClassNames& labels, const phonaut::ClassNames& speakers);

/// One model's row of the report; wav files go into `folder`, listening examples are the same for every model.
Run evaluate(Context<B>& ctx, Trained& trained, const Corpus& corpus, const std::filesystem::path& folder);

/// "mel_distance" and "log_spectral_distance" of the trivial reconstruction: every frame of a spectrum is the mean
/// frame of the training recordings.
nlohmann::json trivial_baseline(Context<B>& ctx, const ModelConfig& config, const Corpus& corpus);

/// Reads one recording at the model's rate.
std::vector<float> read_mono(const std::string& path, int rate);
/// Encodes and decodes one recording; as many samples come out as went in.
std::vector<float> reconstruct(Context<B>& ctx, const Autoencoder& model, const std::vector<float>& samples);
