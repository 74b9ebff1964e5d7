#pragma once
// Frames of recordings on the host, for what looks at all of them at once: clusters, principal directions.
#include <functional>
#include <phonaut/io/manifest.hpp>
#include <phonaut/phonaut.hpp>
#include <vector>

struct RecordedFrames {
  long dim = 0;
  double rate = 0;                     ///< frames per second
  std::vector<std::vector<float>> of;  ///< of each recording (T, dim); none where it is too short or cannot be read

  long length(size_t recording) const { return dim > 0 ? static_cast<long>(of[recording].size()) / dim : 0; }
  long total() const;
  /// The same recordings with the first `columns` numbers of every frame.
  RecordedFrames first_columns(long columns) const;
  /// All frames one behind the other, (total, dim).
  std::vector<float> joined() const;
};

/// Whole recordings at `rate` Hz through `features`. Leaves the context in inference mode. Throws ConfigError if no
/// recording can be read.
RecordedFrames frames_of(
    phonaut::Context<phonaut::Backend>& ctx, const std::vector<phonaut::Utterance>& recordings, int rate,
    const std::function<phonaut::Sequence<phonaut::Backend>(const phonaut::Waveform<phonaut::Backend>&)>& features);
