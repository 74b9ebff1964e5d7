#pragma once
// A discriminator of complex spectra that looks at bands of frequencies one by one. R. Kumar et al., "High-Fidelity
// Audio Compression with Improved RVQGAN" (DAC), 2023.
#include <array>
#include <vector>

#include "phonaut/layers/conv2d.hpp"
#include "phonaut/losses/discriminators/judgement.hpp"
#include "phonaut/ops/activations.hpp"
#include "phonaut/ops/stft.hpp"

namespace phonaut {

/// Every band of the short-time spectrum has convolutions of its own; their last maps lie side by side for the score:
/// waveform (N, samples) -> score (N, ceil(samples / hop), F', 1), and the maps of all layers, band by band, the score
/// last.
template <class B>
struct MultiBandDiscriminator {
  static constexpr size_t rank = 4;
  struct Config {
    long window = 1024;  ///< samples; the hop is a quarter of it
    long channels = 32;
    std::vector<double> edges = {0, 0.1, 0.25, 0.5, 0.75, 1};  ///< of the bands, as parts of the bins
    float leak = 0.1f;
  };
  Config config;
  SharedSpectralPlan<typename B::Scalar> plan;
  std::vector<std::vector<Conv2d<B>>> bands;
  Conv2d<B> post;

  /// Throws ConfigError for a window that is no multiple of 4, or bands that hold no bin.
  MultiBandDiscriminator(Context<B>& ctx, const Config& c)
      : config(c),
        plan(make_spectral_plan<B>(
            StftConfig{.n_fft = c.window, .hop = hop_of(c), .centre = false}.analysis(Spectrum::complex))),
        post(ctx, layer(c.channels, 1, {3, 3}, 1)) {
    for (size_t i = 0; i + 1 < c.edges.size(); ++i) {
      if (begin(i) >= begin(i + 1) || begin(i + 1) > plan->bins())
        throw ConfigError(concat("multi-band discriminator: band ", i, " from ", c.edges[i], " to ", c.edges[i + 1],
                                 " of ", plan->bins(), " bins holds none"));
      auto& convs = bands.emplace_back();
      convs.emplace_back(ctx, layer(2, c.channels, {3, 9}, 1));
      for (int k = 0; k < 3; ++k) convs.emplace_back(ctx, layer(c.channels, c.channels, {3, 9}, 2));
      convs.emplace_back(ctx, layer(c.channels, c.channels, {3, 3}, 1));
    }
    if (bands.empty()) throw ConfigError("multi-band discriminator: there are no bands");
  }

  /// Throws ShapeError for utterances of different lengths, or none.
  Judgement<B, 4> operator()(const Waveform<B>& x) const {
    detail::check_unpadded("multi-band discriminator", x);
    if (x.time() == 0) throw ShapeError("multi-band discriminator: the waveforms have no samples");
    const long hop = hop_of(config), side = (config.window - hop) / 2, frames = (x.time() + hop - 1) / hop;
    const long right = side + frames * hop - x.time();
    const Var<B, 2> whole = pad_signal(x, side, right, Edge::reflect, side + x.time() + right);
    const Var<B, 4> spectrum = stft(Waveform<B>{whole, {}, x.rate}, plan);
    Judgement<B, 4> out;
    std::vector<Var<B, 4>> last;
    for (size_t i = 0; i < bands.size(); ++i) {
      Var<B, 4> h = slice(spectrum, 2, begin(i), begin(i + 1));
      for (const auto& conv : bands[i]) out.maps.push_back(h = leaky_relu(conv(h), config.leak));
      last.push_back(h);
    }
    out.score = post(concatenate(last, 2));
    out.maps.push_back(out.score);
    return out;
  }

  static void visit(auto& self, auto&& f) {
    f("band_convs", self.bands);
    f("conv_post", self.post);
  }

 private:
  static long hop_of(const Config& c) {
    if (c.window < 4 || c.window % 4 != 0)
      throw ConfigError(concat("multi-band discriminator: the window must be a multiple of 4, got ", c.window));
    return c.window / 4;
  }
  /// The first bin of band i.
  long begin(size_t i) const { return static_cast<long>(config.edges[i] * static_cast<double>(plan->bins())); }
  static typename Conv2d<B>::Config layer(long in, long out, TimeFrequency kernel, long stride) {
    return {.in = in,
            .out = out,
            .kernel = kernel,
            .options = {.stride = {1, stride}, .padding = {kernel.time / 2, kernel.frequency / 2}},
            .normed = true};
  }
};

/// The three resolutions of DAC.
template <class B>
std::vector<typename MultiBandDiscriminator<B>::Config> dac_resolutions() {
  std::vector<typename MultiBandDiscriminator<B>::Config> all;
  for (long window : {2048, 1024, 512}) all.push_back({.window = window});
  return all;
}

}  // namespace phonaut
