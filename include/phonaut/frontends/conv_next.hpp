#pragma once
// A residual block over time and frequency without normalisation. Liu et al., "A ConvNet for the 2020s", 2022, as Yao
// et al., "Zipformer", 2023, use it.
#include "phonaut/core/param.hpp"
#include "phonaut/encoders/zipformer/training.hpp"
#include "phonaut/layers/streams.hpp"
#include "phonaut/ops/activation_linear.hpp"
#include "phonaut/ops/arithmetic.hpp"
#include "phonaut/ops/depthwise_conv2d.hpp"
#include "phonaut/ops/feed_forward.hpp"
#include "phonaut/ops/formula/swoosh.hpp"

namespace phonaut {

/// Filters of a 2-D convolution and their biases, named and shaped as in published checkpoints.
template <class B>
struct Conv2dFilters {
  struct Config {
    long in = 1, out = 1;  ///< channels; `in` is 1 for depthwise filters
    long time = 1, frequency = 1;
    double scale = 1;  ///< of the initial weight; the bias then starts within ±0.1 scale
  };
  Param<B, 4> weight;  ///< (out, in, time, frequency)
  Param<B, 1> bias;    ///< (out)

  Conv2dFilters(Context<B>& ctx, const Config& c)
      : weight(make_param(ctx, Shape<4>{c.out, c.in, c.time, c.frequency},
                          Init::fan_in(c.in * c.time * c.frequency).times(c.scale))),
        bias(make_param(ctx, Shape<1>{c.out},
                        c.scale == 1 ? Init::fan_in(c.in * c.time * c.frequency) : Init::uniform(0.1 * c.scale))) {}

  static void visit(auto& self, auto&& f) {
    f("weight", self.weight);
    f("bias", self.bias);
  }
};

/// x + pointwise2(SwooshL(pointwise1(depthwise(x)))) over images (N, T, F, C).
template <class B>
struct ConvNext {
  struct Config {
    long channels = 0;
    long hidden_ratio = 3;
    long kernel = 7;  ///< in time and in frequency, odd
    zipformer::SharedRecipe recipe = {};
  };
  Config config;
  Conv2dFilters<B> depthwise_conv, pointwise_conv1, pointwise_conv2;

  ConvNext(Context<B>& ctx, const Config& c)
      : config(c),
        depthwise_conv(ctx, {.in = 1, .out = c.channels, .time = c.kernel, .frequency = c.kernel}),
        pointwise_conv1(ctx, {.in = c.channels, .out = c.hidden_ratio * c.channels}),
        pointwise_conv2(ctx, {.in = c.hidden_ratio * c.channels, .out = c.channels, .scale = 0.01}) {}

  /// With `lengths`, frames at and beyond them count as zeros, as they would behind the end of the utterance alone.
  Var<B, 4> operator()(const Var<B, 4>& x, const Lengths& lengths = {}) const {
    const long half = config.kernel / 2;
    const auto h = depthwise_conv2d(x, depthwise_conv.weight, depthwise_conv.bias, half, half, lengths);
    namespace sites = zipformer::sites;
    const zipformer::Training<B> training(config.recipe, x.context());
    const UtteranceFlags kept = training.kept(x.extent(0), &ZipformerTraining::stem_skip, "layer_drop");
    const auto y = x + keep_utterances(branch(h, training, lengths), kept);
    return training.whitened(training.balanced(y, sites::balance_stem_block, lengths), sites::whiten_stem_block,
                             lengths);
  }
  /// A piece of streams, with the kernel / 2 frames before it. The last kernel / 2 frames of x are looked at only: they
  /// will come again, in front of the next piece. (N, T, F, C) -> (N, T - kernel / 2, F, C).
  Var<B, 4> operator()(const Var<B, 4>& x, const Lengths& lengths, Past<B, 4>& before) const {
    const long half = config.kernel / 2;
    Lengths seen;
    if (lengths) {
      seen = x.context().empty_lengths(lengths.size());
      std::transform(lengths.data(), lengths.data() + lengths.size(), seen.data(), [half](long n) { return half + n; });
    }
    const auto h = depthwise_conv2d(before.join(x), depthwise_conv.weight, depthwise_conv.bias, 0, 0, seen);
    return slice(x, 1, 0, h.extent(1)) + branch(h, zipformer::Training<B>({}, x.context()), seen);
  }
  static void visit(auto& self, auto&& f) {
    f("depthwise_conv", self.depthwise_conv);
    f("pointwise_conv1", self.pointwise_conv1);
    f("pointwise_conv2", self.pointwise_conv2);
  }

 private:
  /// Both pointwise convolutions: 1x1, which is a linear map of the channels.
  Var<B, 4> branch(const Var<B, 4>& h, const zipformer::Training<B>& training, const Lengths& lengths) const {
    using formula::SwooshL;
    const auto up = map_of(pointwise_conv1, h.context()), down = map_of(pointwise_conv2, h.context());
    // The middle is three times as large as the image. Only a balancer needs to see it whole.
    if (!training) return feed_forward<SwooshL>(h, up, pointwise_conv1.bias, down, pointwise_conv2.bias);
    const auto wide =
        training.balanced(linear(h, up, pointwise_conv1.bias), zipformer::sites::balance_stem_hidden, lengths);
    return activation_linear<SwooshL>(wide, down, pointwise_conv2.bias);
  }
  static Var<B, 2> map_of(const Conv2dFilters<B>& filters, Context<B>& ctx) {
    return reshape(ctx.lift(filters.weight), Shape<2>{filters.weight.extent(0), filters.weight.extent(1)});
  }
};

}  // namespace phonaut
