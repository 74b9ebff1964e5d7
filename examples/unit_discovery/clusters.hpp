#pragma once
// Units: which cluster each frame is in.
#include <filesystem>
#include <vector>

#include "features.hpp"

/// The units of each recording, one for each of its frames.
using Units = std::vector<std::vector<long>>;

/// Means of clusters, and what they are means of.
struct UnitModel {
  std::string features;  ///< key of a FeatureKind
  int rate = 0;          ///< of the waveforms, Hz
  long dim = 0;
  std::vector<float> means;  ///< (clusters, dim)

  long count() const { return dim > 0 ? static_cast<long>(means.size()) / dim : 0; }
  /// Writes them, whole or not at all. Throws FileError.
  void save(const std::filesystem::path& file) const;
  /// Throws FileError, FormatError or LoadError for anything that `save` does not write.
  static UnitModel load(const std::filesystem::path& file);
};

/// Mini-batch k-means: seeds by k-means++ among some of the frames, then so many passes over all of them, in batches,
/// shuffled anew for each. The same seed gives the same clusters. Throws ConfigError for more clusters than frames.
std::vector<float> fit_clusters(phonaut::Context<B>& ctx, const RecordedFrames& frames,
                                const std::vector<size_t>& recordings, long count, long passes, std::uint64_t seed);

/// The nearest cluster of every frame.
Units units_of(phonaut::Context<B>& ctx, const RecordedFrames& frames, const std::vector<float>& means);
