#pragma once
#include "phonaut/core/param.hpp"
#include "phonaut/encoders/zipformer/past.hpp"
#include "phonaut/ops/arithmetic.hpp"
#include "phonaut/ops/chunk_causal_conv1d.hpp"
#include "phonaut/ops/depthwise_conv1d.hpp"

namespace phonaut::zipformer {

/// A filter per channel, with its bias, under the names and shapes of published checkpoints.
template <class B>
struct DepthwiseFilters {
  struct Config {
    long dim = 0, taps = 0;
    double bias_bound = -1;  ///< initial bias U(-bound, bound); negative: 1/√taps
  };
  Param<B, 3> weight;  ///< (dim, 1, taps)
  Param<B, 1> bias;    ///< (dim)

  DepthwiseFilters(Context<B>& ctx, const Config& c)
      : weight(make_param(ctx, Shape<3>{c.dim, 1, c.taps}, Init::fan_in(c.taps))),
        bias(make_param(ctx, Shape<1>{c.dim}, c.bias_bound < 0 ? Init::fan_in(c.taps) : Init::uniform(c.bias_bound))) {}

  static void visit(auto& self, auto&& f) {
    f("weight", self.weight);
    f("bias", self.bias);
  }
};

/// A depthwise convolution over time that stays inside of its chunk: ops/chunk_causal_conv1d.hpp.
template <class B>
struct ChunkCausalConv {
  struct Config {
    long dim = 0, taps = 0;  ///< an odd number of taps
    Padding padding = Padding::masked;
  };
  Config config;
  DepthwiseFilters<B> causal_conv, chunkwise_conv;
  Param<B, 3> chunkwise_conv_scale;  ///< (2, dim, taps)

  ChunkCausalConv(Context<B>& ctx, const Config& c)
      : config(c),
        causal_conv(ctx, {.dim = c.dim, .taps = (c.taps + 1) / 2, .bias_bound = 0.1}),
        chunkwise_conv(ctx, {.dim = c.dim, .taps = c.taps}),
        chunkwise_conv_scale(make_param(ctx, Shape<3>{2, c.dim, c.taps}, Init::constant(0))) {}

  Sequence<B> operator()(const Sequence<B>& x, const long chunk = -1) const {
    return chunk_causal_conv1d(x,
                               {.causal_weight = causal_conv.weight,
                                .causal_bias = causal_conv.bias,
                                .chunk_weight = chunkwise_conv.weight,
                                .chunk_bias = chunkwise_conv.bias,
                                .edge = chunkwise_conv_scale},
                               chunk, config.padding);
  }
  /// One chunk of streams, whose last taps / 2 frames before it the causal filter sees. The lengths of x say how many
  /// of its frames the edge scale is for; frames beyond an end are zeros.
  Sequence<B> operator()(const Sequence<B>& x, Past<B>& before) const {
    const Sequence<B> y = (*this)(x, x.time());
    before.join(x.frames);
    const long seen = std::min(before.frames.extent(1), x.time());
    if (seen == 0) return y;
    // By linearity: what the filter makes of the past alone, with zeros for the chunk, belongs to its first frames.
    const Var<B, 3> tail = depthwise_conv1d(before.frames, causal_conv.weight, {}, 0);
    return y.with(y.frames + pad(slice(tail, 1, 0, seen), 1, 0, x.time() - seen));
  }
  static void visit(auto& self, auto&& f) {
    f("causal_conv", self.causal_conv);
    f("chunkwise_conv", self.chunkwise_conv);
    f("chunkwise_conv_scale", self.chunkwise_conv_scale);
  }
};

}  // namespace phonaut::zipformer
