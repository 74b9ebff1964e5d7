#pragma once
// A discriminator of the waveform itself, at full or at reduced rate. K. Kumar et al., "MelGAN", 2019; J. Kong et al.,
// "HiFi-GAN", 2020.
#include <vector>

#include "phonaut/core/full_precision.hpp"
#include "phonaut/layers/conv1d.hpp"
#include "phonaut/layers/spectral_norm.hpp"
#include "phonaut/losses/discriminators/judgement.hpp"
#include "phonaut/ops/activations.hpp"

namespace phonaut {

/// Grouped convolutions over samples: waveform (N, samples) -> score (N, T, 1) and the maps (N, T, channels) of all
/// layers, the score among them.
template <class B>
struct ScaleDiscriminator {
  static constexpr size_t rank = 3;
  struct Layer {
    long out, taps, stride = 1, groups = 1;
  };
  struct Config {
    std::vector<Layer> layers = {{128, 15},         {128, 41, 2, 4},   {256, 41, 2, 16}, {512, 41, 4, 16},
                                 {1024, 41, 4, 16}, {1024, 41, 1, 16}, {1024, 5}};
    long halvings = 0;  ///< how often the rate is halved first, by means of 4 samples
    float leak = 0.1f;
    bool normed = true;     ///< weight normalisation …
    bool spectral = false;  ///< … or spectral normalisation in its place

    /// The layers of DAC's, which hears the waveform resampled.
    static Config dac() {
      return {.layers = {{16, 15}, {64, 41, 4, 4}, {256, 41, 4, 16}, {1024, 41, 4, 64}, {1024, 41, 4, 256}, {1024, 5}}};
    }
  };
  Config config;
  std::vector<Conv1d<B>> layers;       ///< the last one gives the score
  std::vector<SpectralNorm<B>> norms;  ///< one for each layer, or none

  /// Throws ConfigError without layers, or for groups that do not divide the channels.
  ScaleDiscriminator(Context<B>& ctx, const Config& c) : config(c) {
    if (c.layers.empty() || c.halvings < 0) throw ConfigError("scale discriminator: there are no layers");
    long in = 1;
    const auto add = [&](const Layer& layer) {
      const long half = (layer.taps - 1) / 2;
      layers.emplace_back(ctx, typename Conv1d<B>::Config{.in = in,
                                                          .out = layer.out,
                                                          .taps = layer.taps,
                                                          .stride = layer.stride,
                                                          .groups = layer.groups,
                                                          .padding = ConvPadding::ends(half, half),
                                                          .normed = c.normed && !c.spectral});
      if (c.spectral) norms.emplace_back(ctx, layers.back().weight);
      in = layer.out;
    };
    for (const Layer& layer : c.layers) add(layer);
    add({1, 3});
  }

  /// Throws ShapeError for utterances of different lengths, or too short to be halved.
  Judgement<B, 3> operator()(const Waveform<B>& x) const {
    detail::check_unpadded("scale discriminator", x);
    Sequence<B> h{reshape(x.samples, Shape<3>{x.batch(), x.time(), 1}), {}, x.rate};
    for (long i = 0; i < config.halvings; ++i) h = halved(h);
    if (h.time() == 0)
      throw ShapeError(concat("scale discriminator: nothing is left of ", x.time(), " samples after ", config.halvings,
                              " halvings"));
    Judgement<B, 3> out;
    for (size_t i = 0; i < layers.size(); ++i) {
      h = convolved(i, h);
      if (i + 1 < layers.size()) h = h.with(leaky_relu(h.frames, config.leak));
      out.maps.push_back(h.frames);
    }
    out.score = out.maps.back();
    return out;
  }

  static void visit(auto& self, auto&& f) {
    f("convs", self.layers);
    f("norms", self.norms);
  }

 private:
  Sequence<B> convolved(size_t i, const Sequence<B>& x) const {
    const Conv1d<B>& layer = layers[i];
    if (norms.empty()) return layer(x);
    return conv1d(x, norms[i](x.context(), layer.weight), layer.bias, layer.grid, layer.groups);
  }
  /// Means of 4 samples every 2, with two zeros at either end.
  static Sequence<B> halved(const Sequence<B>& x) {
    auto& ctx = x.context();
    const FullPrecision full(ctx);
    const Var<B, 3> means = ctx.constant(ctx.full(Shape<3>{1, 4, 1}, 0.25));
    return conv1d(x, means, Weight<B, 1>(), ConvGrid{.taps = 4, .stride = 2, .before = 2, .after = 2}, 1);
  }
};

/// The three scales of HiFi-GAN: the first with spectral normalisation, the others with weight normalisation.
template <class B>
std::vector<typename ScaleDiscriminator<B>::Config> hifi_gan_scales() {
  std::vector<typename ScaleDiscriminator<B>::Config> all(3);
  for (long i = 0; i < 3; ++i) all[static_cast<size_t>(i)].halvings = i;
  all[0].spectral = true;
  return all;
}

}  // namespace phonaut
