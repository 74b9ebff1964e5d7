#pragma once
#include <optional>

#include "phonaut/encoders/zipformer/depthwise_conv.hpp"
#include "phonaut/encoders/zipformer/scaled_linear.hpp"
#include "phonaut/encoders/zipformer/training.hpp"
#include "phonaut/ops/formula/swoosh.hpp"
#include "phonaut/ops/gated_part.hpp"

namespace phonaut::zipformer {

/// A gated, depthwise convolution over time. Padded frames enter it as zeros.
template <class B>
struct Convolution {
  struct Config {
    long dim = 0, taps = 0;  ///< an odd number of taps
    bool causal = false;     ///< stay inside of the chunk
    Padding padding = Padding::masked;
    SharedRecipe recipe = {};
  };
  Config config;
  ScaledLinear<B> in_proj;                              ///< dim -> 2·dim: values, gates
  std::optional<DepthwiseFilters<B>> depthwise_conv;    ///< of a layer that is not causal
  std::optional<ChunkCausalConv<B>> chunk_causal_conv;  ///< of one that is
  ScaledLinear<B> out_proj;                             ///< dim -> dim

  /// Throws ConfigError for an even number of taps.
  Convolution(Context<B>& ctx, const Config& c)
      : config(c),
        in_proj(ctx, {.in = c.dim, .out = 2 * c.dim}),
        out_proj(ScaledLinear<B>::scaled(ctx, c.dim, c.dim, 0.05)) {
    if (c.taps < 1 || c.taps % 2 == 0)
      throw ConfigError(concat("zipformer: the convolution needs an odd number of taps, got ", c.taps));
    if (c.causal) chunk_causal_conv.emplace(ctx, typename ChunkCausalConv<B>::Config{c.dim, c.taps, c.padding});
    else depthwise_conv.emplace(ctx, typename DepthwiseFilters<B>::Config{c.dim, c.taps});
  }

  /// (N, T, dim) -> (N, T, dim). `chunk` counts frames; only causal layers look at it.
  Sequence<B> operator()(const Sequence<B>& x, long chunk = -1) const {
    const Sequence<B> gated = gate(x);
    return output(x, config.causal ? (*chunk_causal_conv)(gated, chunk).frames
                                   : depthwise_conv1d(gated.frames, depthwise_conv->weight, depthwise_conv->bias,
                                                      config.taps / 2));
  }
  /// One chunk of streams, with what entered the depthwise convolution in the taps / 2 frames before it. Needs a causal
  /// layer.
  Sequence<B> operator()(const Sequence<B>& x, const StreamStep& step, Past<B>& before) const {
    return output(x, (*chunk_causal_conv)({gate(x).frames, step.conv_frames, x.rate}, before).frames);
  }
  static void visit(auto& self, auto&& f) {
    f("in_proj", self.in_proj);
    f("depthwise_conv", self.depthwise_conv);
    f("depthwise_conv", self.chunk_causal_conv);  // published checkpoints have either under this name
    f("out_proj", self.out_proj);
  }

 private:
  Sequence<B> gate(const Sequence<B>& x) const {
    const Training<B> training(config.recipe, x.context());
    const Var<B, 3> parts = training.balanced(in_proj(x.frames), sites::balance_conv_gate, x.lengths, config.dim);
    return gated_part<formula::SigmoidGate>(x.with(parts), {.parts = 2, .value = 0, .gate = 1});
  }
  Sequence<B> output(const Sequence<B>& x, const Var<B, 3>& filtered) const {
    const Training<B> training(config.recipe, x.context());
    const Var<B, 3> balanced = training.balanced(filtered, sites::balance_filtered, x.lengths);
    const Var<B, 3> y = training.whitened(balanced, sites::whiten_filtered, x.lengths);
    return x.with(out_proj.of_activation(formula::SwooshR{}, y));
  }
};

}  // namespace phonaut::zipformer
