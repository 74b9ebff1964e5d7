#pragma once
#include "phonaut/encoders/zipformer/attention_weights.hpp"
#include "phonaut/encoders/zipformer/bypass.hpp"
#include "phonaut/encoders/zipformer/convolution.hpp"
#include "phonaut/encoders/zipformer/feed_forward.hpp"
#include "phonaut/encoders/zipformer/nonlin_attention.hpp"
#include "phonaut/encoders/zipformer/self_attention.hpp"
#include "phonaut/encoders/zipformer/training.hpp"
#include "phonaut/layers/bias_norm.hpp"
#include "phonaut/ops/arithmetic.hpp"
#include "phonaut/ops/even_weights.hpp"

namespace phonaut {

/// One layer of a Zipformer (Zipformer2EncoderLayer): attention weights are computed once, from the layer's input, and
/// shared by three modules; a bypass in the middle and one at the end lead back to the input.
template <class B>
struct ZipformerLayer {
  struct Config {
    long dim = 0;
    long heads = 4;
    long feedforward = 0;  ///< hidden channels of the middle one; the others have 3/4 and 5/4 of it
    long kernel = 31;      ///< taps of the convolutions, odd
    long query_head = 32, value_head = 12, pos_head = 4;  ///< channels per head
    long pos_dim = 48;                                    ///< channels of the table of positions
    bool causal = false;
    Padding padding = Padding::masked;
    ZipformerTraining training = ZipformerTraining::off();
    ScheduledFloat skip = 0;  ///< in training, how often an utterance passes the whole layer by
  };
  Config config;
  zipformer::SharedRecipe recipe;  ///< of config.training
  zipformer::AttentionWeights<B> self_attn_weights;
  zipformer::SelfAttention<B> self_attn1, self_attn2;
  zipformer::FeedForward<B> feed_forward1, feed_forward2, feed_forward3;
  zipformer::NonlinAttention<B> nonlin_attention;
  zipformer::Convolution<B> conv_module1, conv_module2;
  BiasNorm<B> norm;
  zipformer::Bypass<B> bypass, bypass_mid;
  Param<B, 1> bypass_scale;  ///< (dim); used by nothing, but published checkpoints have it

  ZipformerLayer(Context<B>& ctx, const Config& c)
      : config(c),
        recipe(zipformer::share(c.training, c.padding)),
        self_attn_weights(ctx, {c.dim, c.heads, c.query_head, c.pos_head, c.pos_dim, c.padding, recipe}),
        self_attn1(ctx, {c.dim, c.heads, c.value_head, c.padding, recipe}),
        self_attn2(ctx, {c.dim, c.heads, c.value_head, c.padding, recipe}),
        feed_forward1(ctx, {c.dim, 3 * c.feedforward / 4, recipe}),
        feed_forward2(ctx, {c.dim, c.feedforward, recipe}),
        feed_forward3(ctx, {c.dim, 5 * c.feedforward / 4, recipe}),
        nonlin_attention(ctx, {c.dim, c.padding, recipe}),
        conv_module1(ctx, {c.dim, c.kernel, c.causal, c.padding, recipe}),
        conv_module2(ctx, {c.dim, c.kernel, c.causal, c.padding, recipe}),
        norm(ctx, {c.dim}),
        bypass(ctx, {.dim = c.dim, .least = c.training.bypass_least, .skip = c.skip, .recipe = recipe}),
        bypass_mid(ctx, {.dim = c.dim, .least = c.training.bypass_least, .recipe = recipe}),
        bypass_scale(make_param(ctx, Shape<1>{c.dim}, Init::constant(0.5))) {}

  /// (N, T, dim) -> (N, T, dim); `positions` is the table of `compact_positions` for T frames.
  Sequence<B> operator()(const Sequence<B>& in, const Var<B, 2>& positions,
                         const zipformer::Chunks& chunks = {}) const {
    zipformer::LayerPast<B> none;
    return modules(in, self_attn_weights(in, positions, chunks), none,
                   [&](const auto& conv, const auto& x, auto&) { return conv(x, chunks.frames); });
  }
  /// One chunk of streams, (N, T, dim) -> (N, T, dim), with what they remember; `positions` is the table for T frames
  /// behind `past`. The chunk joins `past.….all`.
  Sequence<B> operator()(const Sequence<B>& chunk, const Var<B, 2>& positions, const zipformer::StreamStep& step,
                         zipformer::LayerPast<B>& past) const {
    return modules(chunk, self_attn_weights(chunk, positions, step, past.key), past,
                   [&](const auto& conv, const auto& x, auto& before) { return conv(x, step, before); });
  }
  /// What streams remember that look at `left` frames before a chunk.
  ZipformerLayerState<B> start(long batch, long left) const {
    const auto zeros = [batch](long frames, long width) { return zero_state<B>(Shape<3>{batch, frames, width}); };
    const long values = config.heads * config.value_head, half = config.kernel / 2;
    return {zeros(left, config.heads * config.query_head),
            zeros(left, nonlin_attention.config.hidden()),
            zeros(left, values),
            zeros(left, values),
            zeros(half, config.dim),
            zeros(half, config.dim)};
  }
  static void visit(auto& self, auto&& f) {
    f("bypass_scale", self.bypass_scale);
    f("bypass", self.bypass);
    f("bypass_mid", self.bypass_mid);
    f("self_attn_weights", self.self_attn_weights);
    f("self_attn1", self.self_attn1);
    f("self_attn2", self.self_attn2);
    f("feed_forward1", self.feed_forward1);
    f("feed_forward2", self.feed_forward2);
    f("feed_forward3", self.feed_forward3);
    f("nonlin_attention", self.nonlin_attention);
    f("conv_module1", self.conv_module1);
    f("conv_module2", self.conv_module2);
    f("norm", self.norm);
  }

 private:
  template <class Convolve>
  Sequence<B> modules(const Sequence<B>& in, const Var<B, 4>& weights, zipformer::LayerPast<B>& past,
                      const Convolve& convolve) const {
    namespace sites = zipformer::sites;
    using Settings = ZipformerTraining;
    const zipformer::Training<B> training(recipe, in.context());
    const auto kept = [&](typename zipformer::Training<B>::Rate rate, const char* kind) {
      return training.kept(in.batch(), rate, kind);
    };
    const auto balanced = [&](const Sequence<B>& x, const zipformer::BalancerSite& site) {
      return x.with(training.balanced(x.frames, site, x.lengths));
    };
    const auto add = [](const Sequence<B>& x, const Sequence<B>& branch, const UtteranceFlags& keep = {}) {
      return x.with(x.frames + keep_utterances(branch.frames, keep));
    };
    // Drawn here, in this order: that of a call's arguments would depend on the compiler.
    const UtteranceFlags attends = kept(&Settings::attention_skip, "attention_skip");
    const UtteranceFlags convolves1 = kept(&Settings::conv_skip, "conv_skip");
    const UtteranceFlags feeds2 = kept(&Settings::feed_forward2_skip, "feed_forward2_skip");
    const UtteranceFlags convolves2 = kept(&Settings::conv_skip, "conv_skip");
    const UtteranceFlags feeds3 = kept(&Settings::feed_forward3_skip, "feed_forward3_skip");
    const Var<B, 4> first_head = training.happens(&Settings::even_attention) ? even_weights(weights) : weights;

    Sequence<B> x = add(in, feed_forward1(in));
    x = add(x, balanced(nonlin_attention(x, first_head, past.nonlin_attn), sites::balance_nonlin), attends);
    x = add(x, self_attn1(x, weights, past.val1), attends);
    x = add(x, convolve(conv_module1, x, past.conv1), convolves1);
    x = add(x, balanced(feed_forward2(x), sites::balance_feed_forward2), feeds2);
    x = x.with(bypass_mid(in.frames, x.frames));
    x = add(x, self_attn2(x, weights, past.val2), attends);
    x = add(x, convolve(conv_module2, x, past.conv2), convolves2);
    x = add(x, balanced(feed_forward3(x), sites::balance_feed_forward3), feeds3);
    x = balanced(x, sites::balance_before_norm);
    x = x.with(bias_norm(x.frames, norm.bias, training.limited(norm.log_scale, -1.5, 1.5)));
    x = balanced(x.with(bypass(in.frames, x.frames)), sites::balance_layer);
    return x.with(training.whitened(x.frames, sites::whiten_layer, x.lengths));
  }
};

}  // namespace phonaut
