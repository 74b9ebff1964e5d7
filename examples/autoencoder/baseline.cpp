#include <cmath>
#include <span>

#include "evaluation.hpp"

using namespace phonaut;

namespace {

/// Calls `visit(row)` for each real frame (bins) of some features of the recordings.
template <class Features, class Visit>
void for_each_frame(Context<B>& ctx, const ModelConfig& config, const std::vector<Utterance>& utterances,
                    const Features& features, const Visit& visit) {
  DataLoader loader = in_order(utterances, config.rate);
  while (const auto batch = loader.next()) {
    const Sequence<B> y = features(to_waveform(ctx, batch->samples, batch->lengths, batch->time, config));
    const std::vector<float> values = values_of(y.frames);
    for (long n = 0; n < y.batch(); ++n)
      for (long t = 0; t < y.length(n); ++t)
        visit(std::span(values).subspan(static_cast<size_t>((n * y.time() + t) * y.channels()),
                                        static_cast<size_t>(y.channels())));
  }
}

/// Mean over test frames of `distance(frame, mean training frame)`.
template <class Features, class FrameDistance>
double distance_of_mean(Context<B>& ctx, const ModelConfig& config, const Corpus& corpus, const Features& features,
                        const FrameDistance& distance) {
  std::vector<double> mean;
  double count = 0, far = 0, seen = 0;
  for_each_frame(ctx, config, corpus.split("train"), features, [&](std::span<const float> frame) {
    mean.resize(frame.size(), 0);
    for (size_t i = 0; i < frame.size(); ++i) mean[i] += frame[i];
    count += 1;
  });
  for (double& m : mean) m /= std::max(1.0, count);
  for_each_frame(ctx, config, corpus.split("test"), features, [&](std::span<const float> frame) {
    far += distance(frame, mean);
    seen += 1;
  });
  return far / std::max(1.0, seen);
}

double mean_absolute(std::span<const float> frame, const std::vector<double>& mean) {
  double total = 0;
  for (size_t i = 0; i < frame.size(); ++i) total += std::fabs(frame[i] - mean[i]);
  return total / static_cast<double>(frame.size());
}
double root_mean_square(std::span<const float> frame, const std::vector<double>& mean) {
  double total = 0;
  for (size_t i = 0; i < frame.size(); ++i) total += (frame[i] - mean[i]) * (frame[i] - mean[i]);
  return std::sqrt(total / static_cast<double>(frame.size()));
}

}  // namespace

nlohmann::json trivial_baseline(Context<B>& ctx, const ModelConfig& config, const Corpus& corpus) {
  ctx.infer();
  const MultiScaleMel mels(ctx, config.rate);
  double mel_distance = 0;
  for (const auto& mel : mels.scales())
    mel_distance +=
        distance_of_mean(ctx, config, corpus, mel, mean_absolute) / static_cast<double>(mels.scales().size());
  const LogSpectralDistance spectral(config.rate);
  const auto power = [&](const Waveform<B>& x) { return spectral.features(x); };
  return {{"mel_distance", mel_distance},
          {"log_spectral_distance", distance_of_mean(ctx, config, corpus, power, root_mean_square)}};
}
