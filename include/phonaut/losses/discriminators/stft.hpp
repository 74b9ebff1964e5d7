#pragma once
// Discriminators of spectra at one resolution. A. Défossez et al., "High Fidelity Neural Audio Compression" (EnCodec),
// 2022; R. Kumar et al., "High-Fidelity Audio Compression with Improved RVQGAN" (DAC), 2023; W. Jang et al., "UnivNet",
// 2021.
#include <cmath>
#include <vector>

#include "phonaut/layers/conv2d.hpp"
#include "phonaut/losses/discriminators/judgement.hpp"
#include "phonaut/ops/activations.hpp"
#include "phonaut/ops/stft.hpp"

namespace phonaut {

/// Convolves real and imaginary parts, or magnitudes, of a spectrogram: waveform (N, samples) -> score (N, T, F', 1)
/// and the maps of all layers but the score.
template <class B>
struct StftDiscriminator {
  static constexpr size_t rank = 4;
  struct Config {
    StftConfig stft = encodec_stft(1024);
    bool magnitude = false;  ///< |X| instead of its real and imaginary parts
    long channels = 32;
    TimeFrequency kernel{3, 9};
    std::vector<long> dilations = {1, 2, 4};  ///< in time, of the layers that halve the frequencies
    float leak = 0.2f;
    bool first_normed = false;  ///< whether the first layer is weight-normalised, as all others are

    /// Not centred, divided by √Σw², hop a quarter of the window.
    static StftConfig encodec_stft(long n_fft) {
      return {.n_fft = n_fft, .hop = n_fft / 4, .centre = false, .scale = StftConfig::Scale::window};
    }
    /// One resolution of the multi-resolution discriminator: n_fft, hop and window length.
    static Config univnet(long n_fft, long hop, long window) {
      return {.stft = {.n_fft = n_fft, .hop = hop, .window_length = window},
              .magnitude = true,
              .dilations = {1, 1, 1},
              .leak = 0.1f,
              .first_normed = true};
    }
  };
  Config config;
  SharedSpectralPlan<typename B::Scalar> plan;
  std::vector<Conv2d<B>> convs;
  Conv2d<B> post;

  /// Throws ConfigError for sizes that do not fit together.
  StftDiscriminator(Context<B>& ctx, const Config& c)
      : config(c),
        plan(make_spectral_plan<B>(c.stft.analysis(c.magnitude ? Spectrum::magnitude : Spectrum::complex))),
        post(ctx, layer(c.channels, 1, square(c.kernel))) {
    convs.emplace_back(ctx, layer(c.magnitude ? 1 : 2, c.channels, c.kernel, {1, 1}, 1, c.first_normed));
    for (const long dilation : c.dilations)
      convs.emplace_back(ctx, layer(c.channels, c.channels, c.kernel, {1, 2}, dilation));
    convs.emplace_back(ctx, layer(c.channels, c.channels, square(c.kernel)));
  }

  /// Throws ShapeError for utterances of different lengths, or shorter than a frame.
  Judgement<B, 4> operator()(const Waveform<B>& x) const {
    detail::check_unpadded("stft discriminator", x);
    const Var<B, 3> spectrum = spectral_features(x, plan).frames;
    const long bins = plan->bins(), parts = config.magnitude ? 1 : 2;
    Var<B, 4> h = reshape(spectrum, Shape<4>{spectrum.extent(0), spectrum.extent(1), bins, parts});
    Judgement<B, 4> out;
    for (const auto& conv : convs) out.maps.push_back(h = leaky_relu(conv(h), config.leak));
    out.score = post(h);
    return out;
  }

  static void visit(auto& self, auto&& f) {
    f("convs", self.convs);
    f("conv_post", self.post);
  }

 private:
  static TimeFrequency square(TimeFrequency kernel) { return {kernel.time, kernel.time}; }
  static typename Conv2d<B>::Config layer(long in, long out, TimeFrequency kernel, TimeFrequency stride = {1, 1},
                                          long dilation = 1, bool normed = true) {
    return {.in = in,
            .out = out,
            .kernel = kernel,
            .options = {.stride = stride,
                        .padding = {(kernel.time - 1) * dilation / 2, (kernel.frequency - 1) / 2},
                        .dilation = dilation},
            .normed = normed};
  }
};

/// The five resolutions of EnCodec.
template <class B>
std::vector<typename StftDiscriminator<B>::Config> encodec_resolutions() {
  using Config = typename StftDiscriminator<B>::Config;
  std::vector<Config> all;
  for (long n_fft : {2048, 1024, 512, 256, 128}) all.push_back({.stft = Config::encodec_stft(n_fft)});
  return all;
}
/// The three resolutions of UnivNet and BigVGAN.
template <class B>
std::vector<typename StftDiscriminator<B>::Config> univnet_resolutions() {
  using Config = typename StftDiscriminator<B>::Config;
  return {Config::univnet(1024, 120, 600), Config::univnet(2048, 240, 1200), Config::univnet(512, 50, 240)};
}

}  // namespace phonaut
