#pragma once
// The stem of a Zipformer: filterbank features at 100 Hz become frames at 50 Hz. Yao et al., "Zipformer", 2023.
#include <algorithm>

#include "phonaut/core/sequence.hpp"
#include "phonaut/frontends/conv_next.hpp"
#include "phonaut/layers/bias_norm.hpp"
#include "phonaut/ops/conv2d.hpp"
#include "phonaut/ops/swoosh_in_bytes.hpp"

namespace phonaut {

/// What the stem remembers of a batch of streams.
template <class B>
struct Conv2dSubsamplingState {
  State<B, 4> cached_left_pad;  ///< (N, 3, bands, channels[2]): frames that the ConvNeXt block saw last

  static void visit(auto& self, auto&& f) { f("cached_left_pad", self.cached_left_pad); }
};

/// Three convolutions with SwooshR, a ConvNeXt block, a linear map and BiasNorm (Conv2dSubsampling).
///
/// Batches: no output frame that counts sees padding through the convolutions. The ConvNeXt block looks three frames
/// ahead; with Padding::masked it finds zeros behind an utterance's end, with Padding::reference what the convolutions
/// made of the padding.
template <class B>
struct Conv2dSubsampling {
  struct Config {
    long features = 80;  ///< per frame of the input
    long out = 192;      ///< channels of the result
    std::array<long, 3> channels{8, 32, 128};
    Padding padding = Padding::masked;
    ZipformerTraining training = ZipformerTraining::off();
    /// Bands that are left of the features.
    long bands() const { return ((features - 1) / 2 - 1) / 2; }
  };
  /// The three convolutions under the names of published checkpoints, where activations count as entries too.
  struct Convolutions {
    Conv2dFilters<B> conv0, conv4, conv7;

    static void visit(auto& self, auto&& f) {
      f("0", self.conv0);
      f("4", self.conv4);
      f("7", self.conv7);
    }
  };
  Config config;
  zipformer::SharedRecipe recipe;  ///< of config.training
  Convolutions conv;
  ConvNext<B> convnext;
  Param<B, 2> out_weight;  ///< (out, channels[2] · bands), channels outermost
  Param<B, 1> out_bias;    ///< (out)
  BiasNorm<B> out_norm;

  /// Throws ConfigError for features that do not reach through the convolutions.
  Conv2dSubsampling(Context<B>& ctx, const Config& c)
      : config(checked(c)),
        recipe(zipformer::share(c.training, c.padding)),
        conv{{ctx, {.in = 1, .out = c.channels[0], .time = 3, .frequency = 3}},
             {ctx, {.in = c.channels[0], .out = c.channels[1], .time = 3, .frequency = 3}},
             {ctx, {.in = c.channels[1], .out = c.channels[2], .time = 3, .frequency = 3}}},
        convnext(ctx, {.channels = c.channels[2], .recipe = recipe}),
        out_weight(
            make_param(ctx, Shape<2>{c.out, c.channels[2] * c.bands()}, Init::fan_in(c.channels[2] * c.bands()))),
        out_bias(make_param(ctx, Shape<1>{c.out}, Init::fan_in(c.channels[2] * c.bands()))),
        out_norm(ctx, {.dim = c.out}) {}

  /// Frames that come out for `frames` going in: (frames - 7) / 2, rounded down, or 0.
  static long frames_of(long frames) { return frames < 9 ? 0 : (frames - 7) / 2; }

  /// (N, T, features) -> (N, (T - 7) / 2, out) at half the rate. Throws ShapeError for fewer than 9 frames.
  Sequence<B> operator()(const Sequence<B>& in) const {
    check_lengths("conv2d_subsampling", in);
    check_channels("conv2d_subsampling", in.frames.shape(), config.features, "this stem");
    if (in.time() < 9)
      throw ShapeError(concat("conv2d_subsampling: ", in.time(), " frames are fewer than the 9 that make one"));
    const Lengths lengths = map_lengths(in, frames_of);
    const Var<B, 4> x = convnext(image(in.frames, in.lengths), config.padding == Padding::masked ? lengths : Lengths());
    const zipformer::Training<B> training(recipe, in.context());
    Var<B, 3> y = training.whitened(flattened_linear(x), zipformer::sites::whiten_stem, lengths);
    y = bias_norm(y, out_norm.bias, training.limited(out_norm.log_scale, -1.5, 1.5));
    if (const auto mask = training.dropout_mask(y.extent(0), y.extent(2))) y = scale_utterances(y, mask);
    return {y, lengths, in.rate / 2};
  }

  /// Frames of the input that a window must have to give `frames` of a stream: they look ahead.
  static long window_of(long frames) { return 2 * frames + 13; }
  Conv2dSubsamplingState<B> start(long batch) const {
    if (batch < 1) throw ConfigError(concat("conv2d_subsampling: a batch of ", batch, " streams cannot be started"));
    return {zero_state<B>(Shape<4>{batch, convnext.config.kernel / 2, config.bands(), config.channels[2]})};
  }
  /// The next window (N, T, features) of each stream -> (N, (T - 13) / 2, out). The window after one that gave n frames
  /// begins 2n frames later. A stream ends in the first window whose length shows fewer than T frames; up to 3 of its
  /// frames may be left for the window after that. Streams without a frame in the window wait, and their state stays.
  /// Throws ShapeError for a window of fewer than 15 frames, or a batch that is not that of the state. Records nothing.
  Sequence<B> operator()(const Sequence<B>& window, Conv2dSubsamplingState<B>& state) const {
    check_lengths("conv2d_subsampling", window);
    check_channels("conv2d_subsampling", window.frames.shape(), config.features, "this stem");
    if (window.time() < window_of(1))
      throw ShapeError(concat("conv2d_subsampling: a window of ", window.time(), " frames is shorter than the ",
                              window_of(1), " that give one frame of a stream"));
    if (window.batch() != state.cached_left_pad.shape()[0])
      throw ShapeError(concat("conv2d_subsampling: a window of shape ", text(window.frames.shape()), " has ",
                              window.batch(), " streams, but its state was started for ",
                              state.cached_left_pad.shape()[0]));
    auto& ctx = window.context();
    const Streaming<B> streaming(ctx);
    auto past = past_of(ctx, state.cached_left_pad);
    const Lengths all = map_lengths(window, frames_of);
    const Var<B, 4> x = convnext(image(window.frames), config.padding == Padding::masked ? all : Lengths(), past);
    const long time = x.extent(1);
    const Lengths given = map_lengths(window, [time](long frames) { return std::min(time, frames_of(frames)); });
    remember(state.cached_left_pad, past, given, time);
    return {out_norm(flattened_linear(x)), given, window.rate / 2};
  }
  /// The convolutions alone: (N, T, features) -> (N, (T - 7) / 2, bands, channels[2]).
  Var<B, 4> image(const Var<B, 3>& features, const Lengths& lengths = {}) const {
    namespace sites = zipformer::sites;
    const Var<B, 3> dense = packed(features);
    const zipformer::Training<B> training(recipe, dense.context());
    const auto after = [&](auto frames) {  // what balancers count, behind a convolution
      return training && lengths ? map_lengths(Sequence<B>{dense, lengths, 0}, frames) : Lengths();
    };
    Var<B, 4> x = reshape(dense, Shape<4>{dense.extent(0), dense.extent(1), dense.extent(2), 1});
    x = convolved(x, conv.conv0, {.padding = {0, 1}});
    const double factor = training ? training.settings().stem_gradient : 1;
    if (factor > 0 && factor != 1) x = scale_gradient(x, factor);
    x = activated(training, x, sites::balance_stem_first, after([](long l) { return std::max(0L, l - 2); }));
    x = convolved(x, conv.conv4, {.stride = {2, 2}});
    x = activated(training, x, sites::balance_stem_later, after([](long l) { return l < 3 ? 0 : (l - 3) / 2; }));
    x = convolved(x, conv.conv7, {.stride = {1, 2}});
    return activated(training, x, sites::balance_stem_later, after(frames_of));
  }
  /// (N, T, bands, C) -> (N, T, out). Published weights have the channels of a frame outermost, our images the bands.
  Var<B, 3> flattened_linear(const Var<B, 4>& x) const {
    auto& ctx = x.context();
    const long rows = x.extent(0) * x.extent(1), bands = x.extent(2), channels = x.extent(3);
    if (rows < out_weight.extent(0)) {  // fewer frames than outputs: it is cheaper to turn the frames
      const Var<B, 4> turned = permute(x, {0, 1, 3, 2});
      return linear(reshape(turned, Shape<3>{x.extent(0), x.extent(1), channels * bands}), out_weight, out_bias);
    }
    const Var<B, 3> weight = reshape(ctx.lift(out_weight), Shape<3>{out_weight.extent(0), channels, bands});
    const Var<B, 2> turned = reshape(permute(weight, {0, 2, 1}), Shape<2>{out_weight.extent(0), bands * channels});
    return linear(reshape(x, Shape<3>{x.extent(0), x.extent(1), bands * channels}), turned, out_bias);
  }
  static void visit(auto& self, auto&& f) {
    f("conv", self.conv);
    f("convnext", self.convnext);
    f("out.weight", self.out_weight);
    f("out.bias", self.out_bias);
    f("out_norm", self.out_norm);
  }

 private:
  static const Config& checked(const Config& c) {
    if (c.features < 7 || c.out < 1)
      throw ConfigError(
          concat("conv2d_subsampling: ", c.features, " features (at least 7) cannot become ", c.out, " channels"));
    return c;
  }
  static Var<B, 4> convolved(const Var<B, 4>& x, const Conv2dFilters<B>& filters, const Conv2dOptions& options) {
    return conv2d(x, permute(x.context().lift(filters.weight), {0, 2, 3, 1}), filters.bias, options);
  }
  static Var<B, 4> activated(const zipformer::Training<B>& training, const Var<B, 4>& any,
                             const zipformer::BalancerSite& site, const Lengths& lengths) {
    const Var<B, 4> x = training.balanced(any, site, lengths);
    if (training && training.settings().byte_slopes) return swoosh_in_bytes(x, formula::SwooshR{});
    return map(x, formula::SwooshR{});
  }
};

}  // namespace phonaut
