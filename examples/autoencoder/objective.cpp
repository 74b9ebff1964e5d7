#include "objective.hpp"

using namespace phonaut;

MultiScaleMel::MultiScaleMel(Context<B>& ctx, int rate) {
  for (const auto& [milliseconds, bands] : {std::pair{8, 10}, {16, 20}, {32, 40}, {64, 64}, {128, 80}}) {
    const long window = rate * milliseconds / 1000;
    scales_.emplace_back(ctx, LogMel<B>::Config{.sample_rate = static_cast<double>(rate),
                                                .n_fft = window,
                                                .hop = window / 4,
                                                .spectrum = Spectrum::smooth_magnitude,
                                                .eps = 1e-9,
                                                .bands = bands,
                                                .scale = LogMel<B>::Scale::natural,
                                                .floor = 1e-4});
  }
}

Var<B, 0> MultiScaleMel::operator()(const Waveform<B>& got, const Waveform<B>& want) const {
  const auto term = [&](const LogMel<B>& mel) { return l1_loss(mel(got), mel(want)); };
  Var<B, 0> total = term(scales_.front());
  for (size_t i = 1; i < scales_.size(); ++i) total = total + term(scales_[i]);
  return (1.0f / static_cast<float>(scales_.size())) * total;
}

namespace {

// The floor is what the rounding to 16 bits leaves in a bin, so that digital silence is as silent as a quiet room.
LsdConfig spectral_config(int rate) { return {.n_fft = rate * 64 / 1000, .hop = rate * 16 / 1000, .floor = 1e-8}; }

}  // namespace

LogSpectralDistance::LogSpectralDistance(int rate) : distance_(spectral_config(rate)) {
  const LsdConfig config = spectral_config(rate);
  SpectralConfig logarithm = config.scales().front().features;
  logarithm.log = true;
  logarithm.log_floor = config.floor;
  logarithm.log_scale = 1 / std::log(10.0);
  plan_ = make_spectral_plan<B>(logarithm);
}

double default_regulariser_weight(const std::string& bottleneck) {
  if (bottleneck == "sigreg") return 0.02;
  if (bottleneck == "kl") return 0.005;
  return bottleneck == "rvq" ? 1 : 0;
}

std::vector<char> draw_hidden(const Sequence<B>& latents, double share, long span) {
  const long n = latents.batch(), t = latents.time();
  std::vector<char> hidden(static_cast<size_t>(n * t), 0);
  const Draws draws = latents.context().random().take(n * t);
  for (long i = 0; i < n; ++i) {
    const long length = latents.length(i),
               spans = std::max(1L, std::lround(share * static_cast<double>(length) / static_cast<double>(span)));
    for (long k = 0; k < spans && length > 1; ++k) {
      const long start = draws.below(std::max(1L, length - span + 1), i * t + k);
      for (long j = start; j < std::min(length, start + span); ++j) hidden[static_cast<size_t>(i * t + j)] = 1;
    }
  }
  return hidden;
}

namespace {

/// Masked latent prediction: what the encoder says of a view with frames hidden must tell the hidden latents. The
/// targets are the clean view's latents, normalised per frame and not differentiated (Assran et al., "Self-supervised
/// learning from images with a joint-embedding predictive architecture", 2023).
Var<B, 0> masked_prediction(const Autoencoder& model, const Waveform<B>& x, const Sequence<B>& clean,
                            const TrainConfig& config) {
  auto& ctx = x.context();
  const auto hidden = draw_hidden(clean, config.mask_share, config.mask_span);
  const Sequence<B> view = model.encode(x, &hidden).value;
  const Var<B, 3> target = layer_norm(ctx.detach(clean.frames));
  // Mean square over the hidden frames.
  const long channels = target.extent(2);
  const double count = static_cast<double>(std::count(hidden.begin(), hidden.end(), 1)) * static_cast<double>(channels);
  std::vector<float> weights;
  weights.reserve(static_cast<size_t>(target.size()));
  for (char h : hidden)
    weights.insert(weights.end(), static_cast<size_t>(channels),
                   h ? static_cast<float>(1 / std::max(1.0, count)) : 0.f);
  const Var<B, 3> difference = model.predict(view) - target;
  return sum(input(ctx, target.shape(), weights) * (difference * difference));
}

}  // namespace

Var<B, 0> objective(const Autoencoder& model, const MultiScaleMel& distance, const Waveform<B>& x,
                    const TrainConfig& config, Terms& terms) {
  const Latents latents = model.encode(x);
  const Coded coded = model.bottleneck(latents);
  const Var<B, 0> reconstruction = distance(model.decode(coded.value), x);
  terms.reconstruction = item(reconstruction);
  Var<B, 0> loss = reconstruction;

  const std::string& kind = model.config.bottleneck;
  const double weight = config.regulariser_weight > 0 ? config.regulariser_weight : default_regulariser_weight(kind);
  Var<B, 0> regulariser;
  if (kind == "sigreg") regulariser = sigreg(latents.value, {.slices = config.slices});
  if (kind == "kl") regulariser = kl_loss(latents.value, latents.spread);
  if (kind == "rvq") regulariser = coded.loss;
  if (regulariser) {
    terms.regulariser = item(regulariser);
    loss = loss + static_cast<float>(weight) * regulariser;
  }
  if (config.semantic_weight > 0) {
    const Var<B, 0> semantic = masked_prediction(model, x, latents.value, config);
    terms.semantic = item(semantic);
    loss = loss + static_cast<float>(config.semantic_weight) * semantic;
  }
  return loss;
}
