#pragma once
// The waveform stem of wav2vec 2.0, HuBERT, WavLM and the self-supervised Zipformer: strided convolutions over samples.
// A. Baevski et al., "wav2vec 2.0: A Framework for Self-Supervised Learning of Speech Representations", 2020.
#include <cmath>
#include <optional>
#include <vector>

#include "phonaut/core/waveform.hpp"
#include "phonaut/layers/conv1d.hpp"
#include "phonaut/layers/norms.hpp"
#include "phonaut/ops/activations.hpp"

namespace phonaut {

/// Convolutions without padding, each followed by GELU; the default is the published one: 16 kHz to 50 Hz in seven
/// layers. Weights carry the names of fairseq and icefall checkpoints, and start from N(0, 2 / (in · taps)) as there.
///
/// Batches: the convolutions show no output frame that counts any padding. The group norm takes its statistics over
/// time: over the real frames with Padding::masked, and with Padding::reference over the padding too, as published.
template <class B>
struct Wav2vec2Stem {
  /// What is normalised between convolution and GELU.
  enum class Norm {
    first_over_time,     ///< each channel of the first layer over its utterance: "default", the base models
    every_over_channels  ///< each frame of every layer: "layer_norm", the large models
  };
  /// One convolution.
  struct Layer {
    long channels = 512, taps = 1, stride = 1;
  };
  struct Config {
    std::vector<Layer> layers = {{512, 10, 5}, {512, 3, 2}, {512, 3, 2}, {512, 3, 2},
                                 {512, 3, 2},  {512, 2, 2}, {512, 2, 2}};
    Norm norm = Norm::first_over_time;
    bool bias = false;  ///< of the convolutions
    double sample_rate = 16000;
    Padding padding = Padding::masked;
  };
  /// A layer under the names of published checkpoints, where dropout counts as an entry too.
  struct Block {
    Conv1d<B> conv;
    std::optional<GroupNorm<B>> group_norm;
    std::optional<LayerNorm<B>> layer_norm;

    static void visit(auto& self, auto&& f) {
      f("0", self.conv);
      f("2", self.group_norm);
      f("2.1", self.layer_norm);
    }
  };
  Config config;
  std::vector<Block> conv_layers;

  /// Throws ConfigError without layers, or for sizes that cannot be.
  Wav2vec2Stem(Context<B>& ctx, const Config& c) : config(c) {
    if (c.layers.empty()) throw ConfigError("wav2vec2_stem: a stem needs at least one convolution");
    long in = 1;
    for (const Layer& layer : c.layers) {
      Block block{
          .conv = Conv1d<B>(
              ctx, {.in = in, .out = layer.channels, .taps = layer.taps, .stride = layer.stride, .bias = c.bias}),
          .group_norm = {},
          .layer_norm = {}};
      // Conv1d's own start would halve the signal in every layer.
      const double deviation = std::sqrt(2.0 / static_cast<double>(in * layer.taps));
      auto& weight = block.conv.weight.tensor();
      assign(ctx.backend(), weight, draw<typename B::Scalar>(ctx, weight.size(), Init::normal(deviation)));
      if (c.norm == Norm::every_over_channels) block.layer_norm = LayerNorm<B>(ctx, {.dim = layer.channels});
      else if (conv_layers.empty())
        block.group_norm = GroupNorm<B>(ctx, {.dim = layer.channels, .groups = layer.channels});
      conv_layers.push_back(std::move(block));
      in = layer.channels;
    }
  }

  long channels() const { return config.layers.back().channels; }
  /// Frames that come out of `samples`.
  long frames(long samples) const {
    for (const Block& block : conv_layers) samples = block.conv.frames(samples);
    return samples;
  }
  /// Samples from one frame to the next.
  long hop() const {
    long samples = 1;
    for (const Layer& layer : config.layers) samples *= layer.stride;
    return samples;
  }
  /// Samples that a frame is made of.
  long window() const {
    long samples = 1;
    for (auto layer = config.layers.rbegin(); layer != config.layers.rend(); ++layer)
      samples = (samples - 1) * layer->stride + layer->taps;
    return samples;
  }
  double frame_rate() const { return config.sample_rate / static_cast<double>(hop()); }

  /// (N, samples) -> (N, frames(samples), channels). Throws ShapeError for fewer samples than `window()`, ConfigError
  /// if the waveform has another sample rate.
  Sequence<B> operator()(const Waveform<B>& x) const {
    check_lengths("wav2vec2_stem", x);
    check_rate("wav2vec2_stem", x, config.sample_rate);
    if (x.time() < window())
      throw ShapeError(
          concat("wav2vec2_stem: ", x.time(), " samples are fewer than the ", window(), " that make one frame"));
    const bool exact = config.padding == Padding::masked;
    Sequence<B> y{reshape(x.samples, Shape<3>{x.batch(), x.time(), 1}), exact ? x.lengths : Lengths{}, x.rate};
    for (const Block& block : conv_layers) {
      if (!block.group_norm && !block.layer_norm) {
        y = block.conv.template activated<formula::Gelu>(y);
        continue;
      }
      y = block.conv(y);
      if (block.group_norm) y = (*block.group_norm)(y);
      if (block.layer_norm) y = (*block.layer_norm)(y);
      y.frames = gelu(y.frames);
    }
    if (!exact && x.padded()) {
      y.lengths = x.context().empty_lengths(x.batch());
      for (long n = 0; n < x.batch(); ++n) y.lengths.data()[n] = frames(x.length(n));
    }
    return y;
  }

  static void visit(auto& self, auto&& f) { f("conv_layers", self.conv_layers); }
};

}  // namespace phonaut
