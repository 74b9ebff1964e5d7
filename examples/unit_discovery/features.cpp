#include "features.hpp"

#include <cmath>
#include <map>
#include <phonaut/frontends/deltas.hpp>
#include <phonaut/frontends/kaldi_mfcc.hpp>

using namespace phonaut;

namespace {

/// Sums over all frames of one speaker.
struct Moments {
  double frames = 0;
  std::vector<double> sum, squares;
};

}  // namespace

const std::vector<FeatureKind>& feature_kinds() {
  using Speaker = FeatureKind::Speaker;
  static const std::vector<FeatureKind> kinds = {
      {"mfcc", "MFCC", false, Speaker::as_is},
      {"mfcc-cmn", "MFCC, speaker mean 0", false, Speaker::mean},
      {"mfcc-cmvn", "MFCC, speaker mean 0, variance 1", false, Speaker::variance},
      {"deltas", "MFCC + slopes", true, Speaker::as_is},
      {"deltas-cmn", "MFCC + slopes, speaker mean 0", true, Speaker::mean},
      {"deltas-cmvn", "MFCC + slopes, mean 0, variance 1", true, Speaker::variance}};
  return kinds;
}

const FeatureKind& feature_kind(const std::string& key) {
  std::string known;
  for (const FeatureKind& kind : feature_kinds()) {
    if (kind.key == key) return kind;
    known += (known.empty() ? "" : ", ") + kind.key;
  }
  throw ConfigError(concat("features: there is no kind '", key, "'; there are ", known));
}

RecordedFrames cepstra_of(Context<B>& ctx, const std::vector<Utterance>& recordings, int rate) {
  const KaldiMfcc<B> mfcc(ctx, {.features = {.sample_rate = static_cast<double>(rate)}});
  return frames_of(ctx, recordings, rate, [&](const Waveform<B>& x) { return add_deltas(mfcc(x)); });
}

RecordedFrames as_kind(const FeatureKind& kind, const RecordedFrames& cepstra,
                       const std::vector<Utterance>& recordings) {
  RecordedFrames y = cepstra.first_columns(kind.dim());
  if (kind.speaker == FeatureKind::Speaker::as_is) return y;
  const auto dim = static_cast<size_t>(y.dim);
  std::map<std::string, Moments> speakers;
  for (size_t i = 0; i < y.of.size(); ++i) {
    Moments& m = speakers[recordings[i].speaker];
    m.sum.resize(dim), m.squares.resize(dim);
    m.frames += static_cast<double>(y.length(i));
    for (size_t at = 0; at < y.of[i].size(); ++at) {
      const double v = y.of[i][at];
      m.sum[at % dim] += v, m.squares[at % dim] += v * v;
    }
  }
  for (size_t i = 0; i < y.of.size(); ++i) {
    const Moments& m = speakers[recordings[i].speaker];
    for (size_t at = 0; at < y.of[i].size(); ++at) {
      const double mean = m.sum[at % dim] / m.frames;
      double v = y.of[i][at] - mean;
      if (kind.speaker == FeatureKind::Speaker::variance)
        v /= std::sqrt(std::max(1e-10, m.squares[at % dim] / m.frames - mean * mean));
      y.of[i][at] = static_cast<float>(v);
    }
  }
  return y;
}
