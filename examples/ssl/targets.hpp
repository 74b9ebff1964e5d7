#pragma once
// What is predicted: clusters of frames, of cepstra in the first iteration, of a trained model's layer in the next.
#include <filesystem>
#include <memory>

#include "common/corpus.hpp"
#include "model.hpp"

/// Clusters of the frames of some features.
class Targets {
 public:
  /// Mel-frequency cepstra with slopes, each utterance at mean 0.
  static Targets of_cepstra(Context<B>& ctx, const ModelConfig& config);
  /// What a layer of a trained model puts out, each utterance at mean 0.
  static Targets of_layer(Context<B>& ctx, std::shared_ptr<const Model> teacher, const phonaut::ZipformerPick& pick,
                          const ModelConfig& config);

  /// Finds the clusters by k-means over the recordings.
  void fit(Context<B>& ctx, const std::vector<phonaut::Utterance>& utterances);
  /// The clusters of a file that `save` wrote. Throws LoadError, FileError or FormatError.
  void load(const std::filesystem::path& file);
  void save(const std::filesystem::path& file) const;

  /// One label for each of `frames` frames of the model's stem, for all utterances of a batch: (N · frames). Leaves the
  /// context in inference mode.
  std::vector<long> labels(Context<B>& ctx, const Waveform<B>& x, long frames) const;

  static void visit(auto& self, auto&& f) { f("means", self.means_); }

 private:
  Targets(Context<B>& ctx, const ModelConfig& config, long channels);
  Sequence<B> features(const Waveform<B>& x) const;

  int rate_;           ///< of waveforms, Hz
  double frame_rate_;  ///< of the stem, Hz
  phonaut::KaldiMfcc<B> mfcc_;
  std::shared_ptr<const Model> teacher_;  ///< null for cepstra
  phonaut::ZipformerPick pick_;
  phonaut::State<B, 2> means_;  ///< (clusters, channels)
};
