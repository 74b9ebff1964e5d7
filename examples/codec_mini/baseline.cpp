#include "baseline.hpp"

#include <phonaut/frontends/griffin_lim.hpp>

#include <algorithm>
#include <cmath>

using namespace phonaut;

namespace {

constexpr long kFft = 1024, kBands = 80;
/// Frames in a step of fitting, and steps for each codebook: enough that more change nothing that can be heard.
constexpr double kFitSeconds = 16;
constexpr long kFitSteps = 300;

LogMel<B>::Config mel_of(const ModelConfig& c, long hop) {
  return {.sample_rate = static_cast<double>(c.rate),
          .n_fft = kFft,
          .hop = hop,
          .spectrum = Spectrum::magnitude,
          .bands = kBands};
}
}  // namespace

MelCoder::MelCoder(Context<B>& ctx, const ModelConfig& c, const std::vector<Utterance>& recordings, std::uint64_t seed)
    : rate_(c.rate),
      mel_(ctx, mel_of(c, c.samples_per_code())),
      filters_(mel_filters({.sample_rate = static_cast<double>(c.rate),
                            .n_fft = kFft,
                            .bands = kBands,
                            .scale = MelScale::slaney,
                            .area_norm = true})),
      quantizer_(ctx, {.dims = kBands,
                       .levels = c.levels,
                       .codebook = {.entries = c.entries,
                                    .rule = {.revival = EmaRule::Revival::after, .threshold = 0.5},
                                    .kmeans_iterations = 20}}) {
  DataLoader loader(recordings, {.rate = c.rate,
                                 .min_seconds = 0.1,
                                 .max_seconds = 3600,
                                 .cut_seconds = 4,
                                 .batch_seconds = kFitSeconds,
                                 .seed = seed});
  for (long step = 0; step < kFitSteps + c.levels; ++step) {
    const auto batch = loader.next();
    const Unrecorded<B> unrecorded(ctx);
    ctx.set_training(true);
    quantizer_(mel_(Waveform<B>{input(ctx, Shape<2>{batch->size(), batch->time}, batch->samples),
                                lengths_of(ctx, batch->lengths), static_cast<double>(rate_)}));
    ctx.set_step(step + 1);  // other draws for the next revivals
  }
  ctx.infer();
}

std::vector<float> MelCoder::magnitudes(const std::vector<float>& mel, long frames) const {
  // Non-negative least squares by multiplicative updates (D. Lee and H. Seung, 2001): s *= Fᵀm / FᵀFs.
  constexpr int updates = 60;
  const auto bins = static_cast<size_t>(filters_.bins);
  std::vector<float> all;
  std::vector<double> above(bins), below(bins), s(bins);
  const auto spread = [&](size_t band, double value, std::vector<double>& to) {
    for (long i = filters_.begin[band]; i < filters_.begin[band + 1]; ++i)
      to[static_cast<size_t>(filters_.first[band] + i - filters_.begin[band])] +=
          filters_.weights[static_cast<size_t>(i)] * value;
  };
  for (long t = 0; t < frames; ++t) {
    const float* row = mel.data() + t * kBands;
    std::fill(above.begin(), above.end(), 0.0);
    for (size_t b = 0; b < kBands; ++b) spread(b, std::exp(static_cast<double>(row[b])), above);
    s = above;
    for (int update = 0; update < updates; ++update) {
      std::fill(below.begin(), below.end(), 0.0);
      for (size_t b = 0; b < kBands; ++b) {
        double sum = 0;
        for (long i = filters_.begin[b]; i < filters_.begin[b + 1]; ++i)
          sum += filters_.weights[static_cast<size_t>(i)] *
                 s[static_cast<size_t>(filters_.first[b] + i - filters_.begin[b])];
        spread(b, sum, below);
      }
      for (size_t k = 0; k < bins; ++k) s[k] *= below[k] > 0 ? above[k] / below[k] : 0.0;
    }
    all.insert(all.end(), s.begin(), s.end());
  }
  return all;
}

std::vector<float> MelCoder::reconstruct(Context<B>& ctx, const std::vector<float>& samples, long levels) const {
  ctx.infer();
  // The last frame of a centred transform may lie behind the end; what is too long is cut below.
  const Sequence<B> mel = mel_(to_waveform(ctx, samples, static_cast<long>(samples.size()), rate_));
  const auto frames = levels < 0 ? mel.frames : quantizer_.decode(ctx, quantizer_.encode(mel, levels));
  const auto spectrum = magnitudes(values_of(frames), mel.time());
  const Sequence<B> wanted{input(ctx, Shape<3>{1, mel.time(), filters_.bins}, spectrum), {}, mel.rate};
  auto sound =
      values_of(griffin_lim(wanted, {.stft = {.n_fft = kFft, .hop = mel_.config.hop}, .iterations = 64}).samples);
  sound.resize(samples.size());
  return sound;
}
