#pragma once
// A discriminator that hears every p-th sample together. J. Kong et al., "HiFi-GAN", 2020.
#include <vector>

#include "phonaut/layers/conv1d.hpp"
#include "phonaut/losses/discriminators/judgement.hpp"
#include "phonaut/ops/activations.hpp"
#include "phonaut/ops/pad_signal.hpp"

namespace phonaut {

/// Folds a waveform into p columns and convolves along each: waveform (N, samples) -> score (N, p, T, 1) and the maps
/// (N, p, T, channels) of all layers, the score among them. HiFi-GAN has one for each of the periods 2, 3, 5, 7, 11.
template <class B>
struct PeriodDiscriminator {
  static constexpr size_t rank = 4;
  struct Config {
    long period = 2;
    std::vector<long> channels = {32, 128, 512, 1024, 1024};
    long taps = 5, stride = 3;
    long last_stride = 1;       ///< of the last of these layers
    bool whole_period = false;  ///< as DAC: a signal that p divides gets another p samples all the same
    float leak = 0.1f;
    bool normed = true;  ///< weight normalisation
  };
  Config config;
  std::vector<Conv1d<B>> layers;  ///< the last one gives the score

  /// Throws ConfigError for a period below 1 or without layers.
  PeriodDiscriminator(Context<B>& ctx, const Config& c) : config(c) {
    if (c.period < 1 || c.channels.empty())
      throw ConfigError(concat("period discriminator: need a period and layers, got ", c.period, " and ",
                               c.channels.size(), " layers"));
    long in = 1;
    const auto add = [&](long out, long taps, long stride) {
      const long half = (taps - 1) / 2;
      layers.emplace_back(ctx, typename Conv1d<B>::Config{.in = in,
                                                          .out = out,
                                                          .taps = taps,
                                                          .stride = stride,
                                                          .padding = ConvPadding::ends(half, half),
                                                          .normed = c.normed});
      in = out;
    };
    for (size_t i = 0; i < c.channels.size(); ++i)
      add(c.channels[i], c.taps, i + 1 < c.channels.size() ? c.stride : c.last_stride);
    add(1, 3, 1);
  }

  /// Throws ShapeError for utterances of different lengths, or none.
  Judgement<B, 4> operator()(const Waveform<B>& x) const {
    detail::check_unpadded("period discriminator", x);
    const long p = config.period, batch = x.batch(), missing = (p - x.time() % p) % p;
    if (x.time() == 0) throw ShapeError("period discriminator: the waveforms have no samples");
    const long right = missing == 0 && config.whole_period ? p : missing, time = (x.time() + right) / p;
    const Var<B, 2> whole = right > 0 ? pad_signal(x, 0, right, Edge::reflect, p * time) : x.samples;
    // (N, T, p) -> one "utterance" for each column.
    const auto columns = permute(reshape(whole, Shape<3>{batch, time, p}), {0, 2, 1});
    Sequence<B> h{reshape(columns, Shape<3>{batch * p, time, 1}), {}, x.rate / static_cast<double>(p)};
    Judgement<B, 4> out;
    for (size_t i = 0; i < layers.size(); ++i) {
      h = layers[i](h);
      if (i + 1 < layers.size()) h = h.with(leaky_relu(h.frames, config.leak));
      out.maps.push_back(reshape(h.frames, Shape<4>{batch, p, h.time(), h.channels()}));
    }
    out.score = out.maps.back();
    return out;
  }

  static void visit(auto& self, auto&& f) { f("convs", self.layers); }
};

/// The five of HiFi-GAN.
template <class B>
std::vector<typename PeriodDiscriminator<B>::Config> hifi_gan_periods() {
  std::vector<typename PeriodDiscriminator<B>::Config> all;
  for (long period : {2, 3, 5, 7, 11}) all.push_back({.period = period});
  return all;
}

}  // namespace phonaut
