#pragma once
// What is quantized: frames of real speech, of speakers to learn from and of others to measure with.
#include <string>
#include <vector>

#include "common/recorded_frames.hpp"

using B = phonaut::Backend;

/// Latents of mean 0, scaled by one number so that the mean variance of a channel is 1, both over `train`.
struct Latents {
  std::string about;             ///< what they are, and of how many recordings
  RecordedFrames train, test;    ///< the speakers of one are not those of the other, where the data allows it
  std::vector<double> spectrum;  ///< eigenvalues of the covariance of `test`, greatest first

  long dim() const { return train.dim; }
  double rate() const { return train.rate; }
};

/// Principal components of log-mel: 64 bands a hundred times a second, two frames joined, projected to the `dim`
/// orthonormal directions in which the training frames vary most, and turned at random, so that no channel is more than
/// another. Training frames are there twice, the pairs shifted by one: 20 ms hold two sets of them.
Latents latents_of_speech(phonaut::Context<B>& ctx, const std::string& data, long dim, std::uint64_t seed);

/// Latents of any encoder: for a recording of `data`, `folder` holds a .npy file (T, dim) of its name ("take1.npy" for
/// "anna/take1.wav"), such as `autoencoder encode` writes. Recordings without one are left out. Throws ConfigError if
/// that leaves none to train or to test with, ShapeError for another number of channels than in the file before.
Latents latents_of_files(const std::string& data, const std::string& folder, double rate);

/// Recordings in batches for training: pieces that begin anywhere, of any recording, by its length.
class Pieces {
 public:
  /// So many pieces of at most so many frames.
  Pieces(const RecordedFrames& frames, long pieces, long length, std::uint64_t seed);
  phonaut::Sequence<B> next(phonaut::Context<B>& ctx);

 private:
  const RecordedFrames& frames_;
  std::vector<long> ends_;  ///< of each recording, among all frames
  long pieces_, length_;
  phonaut::Random random_;
};

/// Recordings first … last - 1, whole, as a batch.
phonaut::Sequence<B> batch_of(phonaut::Context<B>& ctx, const RecordedFrames& frames, size_t first, size_t last);

/// All frames (n, dim) as rows.
phonaut::Tensor<B, 2> rows_of(phonaut::Context<B>& ctx, const RecordedFrames& frames);
