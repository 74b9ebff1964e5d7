#include "model.hpp"

using namespace phonaut;

namespace {

constexpr long kExpand = 2;  ///< the stem and the latents each join two frames

ZipformerStack<B>::Config stack_config(const ModelConfig& c, long factor) {
  return {.dim = c.dim,
          .layers = 1,
          .heads = c.heads,
          .feedforward = c.feedforward,
          .kernel = c.kernel,
          .downsample = factor};
}

/// Two neighbouring frames become one: (N, 2T, C) -> (N, T, 2C).
Sequence<B> join_pairs(const Sequence<B>& x) {
  const long n = x.batch(), t = x.time(), c = x.channels();
  return {reshape(x.frames, Shape<3>{n, t / kExpand, kExpand * c}), map_lengths(x, [](long l) { return l / kExpand; }),
          x.rate / kExpand};
}
/// The way back: (N, T, 2C) -> (N, 2T, C).
Sequence<B> split_pairs(const Sequence<B>& x) {
  const long n = x.batch(), t = x.time(), c = x.channels();
  return {reshape(x.frames, Shape<3>{n, t * kExpand, c / kExpand}), map_lengths(x, [](long l) { return l * kExpand; }),
          x.rate * kExpand};
}

}  // namespace

Autoencoder::Autoencoder(Context<B>& ctx, const ModelConfig& c)
    : config(c),
      mel(ctx, LogMel<B>::hifigan(c.rate, c.window(), c.hop(), c.mels, c.rate / 2.0)),
      stem(ctx, {.in = kExpand * c.mels, .out = c.dim}),
      hidden_frame(make_param(ctx, Shape<1>{c.dim}, Init::uniform(0.5))),
      encoder_norm(ctx, {.dim = c.dim}),
      to_latent(ctx, {.in = kExpand * c.dim, .out = c.bottleneck == "kl" ? 2 * c.latent : c.latent}),
      predictor_in(ctx, {.in = c.latent, .out = 2 * c.dim}),
      predictor_out(ctx, {.in = 2 * c.dim, .out = c.latent}),
      from_latent(ctx, {.in = c.latent, .out = kExpand * c.dim}),
      decoder_norm(ctx, {.dim = c.dim}),
      head(ctx, {.in = c.dim, .out = kExpand * (c.window() + 2)}),
      synthesis(make_head_plan<B>({.n_fft = c.window(), .hop = c.hop()})) {
  for (long factor : c.encoder_factors) encoder.emplace_back(ctx, stack_config(c, factor));
  for (long factor : c.decoder_factors) decoder.emplace_back(ctx, stack_config(c, factor));
  if (c.bottleneck == "rvq") {
    rvq.emplace(ctx, ResidualQuantizer<B>::Config{.dims = c.latent,
                                                  .levels = c.codebooks,
                                                  .codebook = {.entries = c.codebook_size, .kmeans_iterations = 10}});
  } else if (c.bottleneck == "fsq") {
    fsq.emplace(ctx, FiniteScalarQuantizer<B>::Config{.levels = c.levels, .groups = c.groups});
    const long channels = static_cast<long>(c.levels.size()) * c.groups;
    to_levels.emplace(ctx, Linear<B>::Config{.in = c.latent, .out = channels});
    from_levels.emplace(ctx, Linear<B>::Config{.in = channels, .out = c.latent});
  } else if (c.bottleneck != "sigreg" && c.bottleneck != "kl" && c.bottleneck != "none") {
    throw ConfigError("autoencoder: there is no bottleneck '" + c.bottleneck + "', only sigreg, kl, none, rvq and fsq");
  }
}

Latents Autoencoder::encode(const Waveform<B>& x, const std::vector<char>* hidden) const {
  Sequence<B> y = join_pairs(mel(x));
  y = y.with(stem(y.frames));
  if (hidden) {
    // A latent frame stands for two frames at this rate.
    std::vector<char> fine;
    fine.reserve(kExpand * hidden->size());
    for (char h : *hidden) fine.insert(fine.end(), kExpand, h);
    y = y.with(replace_frames(y.frames, fine, hidden_frame));
  }
  for (const auto& stack : encoder) y = stack(y);
  y = join_pairs(y.with(encoder_norm(y.frames)));
  const Var<B, 3> z = to_latent(y.frames);
  if (config.bottleneck != "kl") return {y.with(z), {}};
  return {y.with(slice(z, 2, 0, config.latent)), y.with(slice(z, 2, config.latent, 2 * config.latent))};
}

Coded Autoencoder::bottleneck(const Latents& latents) const {
  const Sequence<B>& z = latents.value;
  if (rvq) {
    const auto q = (*rvq)(z);
    return {q.quantized, q.loss};
  }
  if (fsq) return {(*from_levels)((*fsq)((*to_levels)(z)).quantized), {}};
  if (config.bottleneck != "kl" || !z.context().training()) return {z, {}};
  return {z.with(sample_gaussian(z.frames, latents.spread.frames)), {}};
}

Codes<B> Autoencoder::codes(const Sequence<B>& latents) const {
  if (rvq) return rvq->encode(latents);
  if (fsq) return fsq->encode((*to_levels)(latents));
  throw ConfigError("autoencoder: latents of the bottleneck '" + config.bottleneck +
                    "' are continuous and have no codes");
}

long Autoencoder::entries() const {
  if (rvq) return config.codebook_size;
  return fsq ? fsq->levels.codes() : 0;
}

double Autoencoder::bitrate() const {
  const double latents_per_second = static_cast<double>(config.rate) / config.samples_per_latent();
  return latents_per_second * (rvq ? rvq->bits() : fsq ? fsq->bits() : 0);
}

Waveform<B> Autoencoder::decode(const Sequence<B>& coded) const {
  Sequence<B> y = split_pairs(coded.with(from_latent(coded.frames)));
  for (const auto& stack : decoder) y = stack(y);
  y = y.with(decoder_norm(y.frames));
  return istft_head(split_pairs(y.with(head(y.frames))), synthesis);
}

Var<B, 3> Autoencoder::predict(const Sequence<B>& latents) const {
  return predictor_out(swoosh_r(predictor_in(latents.frames)));
}

Waveform<B> to_waveform(Context<B>& ctx, const std::vector<float>& samples, const std::vector<long>& lengths, long time,
                        const ModelConfig& config) {
  const long unit = config.samples_per_latent(), n = static_cast<long>(lengths.size());
  std::vector<long> padded(lengths);
  long longest = 0;
  for (long& l : padded) longest = std::max(longest, l = std::max(1L, (l + unit - 1) / unit) * unit);
  auto t = ctx.zeros(Shape<2>{n, longest});
  for (long i = 0; i < n; ++i)
    kernel::upload(ctx.backend(), t.data() + i * longest, samples.data() + i * time,
                   static_cast<size_t>(lengths[static_cast<size_t>(i)]) * sizeof(float));
  return {ctx.constant(std::move(t)), lengths_of(ctx, padded), static_cast<double>(config.rate)};
}
