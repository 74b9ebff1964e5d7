#include "common/recorded_frames.hpp"

#include <phonaut/training/data.hpp>

#include "common/waveforms.hpp"

using namespace phonaut;

long RecordedFrames::total() const {
  long n = 0;
  for (size_t i = 0; i < of.size(); ++i) n += length(i);
  return n;
}

RecordedFrames RecordedFrames::first_columns(long columns) const {
  RecordedFrames part{columns, rate, {}};
  for (size_t i = 0; i < of.size(); ++i) {
    auto& to = part.of.emplace_back();
    for (long t = 0; t < length(i); ++t)
      to.insert(to.end(), of[i].begin() + t * dim, of[i].begin() + t * dim + columns);
  }
  return part;
}

std::vector<float> RecordedFrames::joined() const {
  std::vector<float> all;
  all.reserve(static_cast<size_t>(total() * dim));
  for (const auto& frames : of) all.insert(all.end(), frames.begin(), frames.end());
  return all;
}

RecordedFrames frames_of(Context<Backend>& ctx, const std::vector<Utterance>& recordings, int rate,
                         const std::function<Sequence<Backend>(const Waveform<Backend>&)>& features) {
  ctx.infer();
  RecordedFrames all;
  all.of.resize(recordings.size());
  DataLoader loader(recordings, {.rate = rate,
                                 .min_seconds = 0.05,
                                 .max_seconds = 3600,
                                 .batch_seconds = 16,
                                 .shuffle = false,
                                 .epochs = 1,
                                 .prefetch = 0});
  while (const auto batch = loader.next()) {
    const Sequence<Backend> y = features(waveform_of(ctx, batch->samples, batch->lengths, batch->time, batch->rate));
    all.dim = y.channels();
    all.rate = y.rate;
    const std::vector<float> values = values_of(y.frames);
    for (long n = 0; n < y.batch(); ++n) {
      const auto from = values.begin() + n * y.time() * all.dim;
      all.of[batch->utterances[static_cast<size_t>(n)]].assign(from, from + y.length(n) * all.dim);
    }
  }
  return all;
}
