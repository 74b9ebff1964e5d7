#pragma once
#include <algorithm>
#include <optional>
#include <vector>

#include "phonaut/core/visit.hpp"
#include "phonaut/encoders/zipformer/downsample.hpp"
#include "phonaut/encoders/zipformer/layer.hpp"
#include "phonaut/ops/compact_positions.hpp"

namespace phonaut {

/// Sizes of a stack.
struct ZipformerStackConfig {
  long dim = 0;
  long layers = 2;
  long heads = 4;
  long feedforward = 0;                                 ///< hidden channels of the middle feed-forward of a layer
  long kernel = 31;                                     ///< taps of the convolutions, odd
  long downsample = 1;                                  ///< the layers work on so many times fewer frames
  long query_head = 32, value_head = 12, pos_head = 4;  ///< channels per head
  long pos_dim = 48;                                    ///< channels of the table of positions, even
  bool causal = false;                                  ///< for chunks and streaming
  Padding padding = Padding::masked;
};

/// Layers that work at one rate. With `downsample` > 1 frames are averaged on the way in and repeated on the way out,
/// where a bypass mixes them with what came in; so frames in and out are of the same rate, and stacks of several rates
/// can follow each other (DownsampledZipformer2Encoder).
///
/// Batches: with Padding::masked an utterance gives the same numbers alone and in any batch. Padding::reference
/// differs from that in two places: the last group of the downsampling repeats the last frame of the batch, not of the
/// utterance; and in a causal stack without chunks the edge scale of the convolution depends on the batch's length.
template <class B>
struct ZipformerStack {
  using Config = ZipformerStackConfig;
  Config config;
  std::vector<ZipformerLayer<B>> layers;
  std::optional<zipformer::Downsample<B>> downsample;
  std::optional<zipformer::Bypass<B>> out_combiner;

  /// All layers start as copies of one, as in the published recipe. Throws ConfigError for sizes that cannot be.
  ZipformerStack(Context<B>& ctx, const Config& c) : config(c) {
    if (c.dim < 1 || c.layers < 1 || c.heads < 1 || c.feedforward < 2 || c.downsample < 1)
      throw ConfigError(concat("zipformer: a stack of ", c.layers, " layers of ", c.dim, " channels, ", c.heads,
                               " heads, ", c.feedforward, " hidden channels and downsampling ", c.downsample,
                               " cannot be built"));
    const ZipformerLayer<B> first(ctx, {.dim = c.dim,
                                        .heads = c.heads,
                                        .feedforward = c.feedforward,
                                        .kernel = c.kernel,
                                        .query_head = c.query_head,
                                        .value_head = c.value_head,
                                        .pos_head = c.pos_head,
                                        .pos_dim = c.pos_dim,
                                        .causal = c.causal,
                                        .padding = c.padding});
    for (long i = 0; i < c.layers; ++i) layers.push_back(deep_copy(first, ctx.backend()));
    if (c.downsample > 1) {
      downsample.emplace(ctx, typename zipformer::Downsample<B>::Config{c.downsample, c.padding});
      out_combiner.emplace(ctx, typename zipformer::Bypass<B>::Config{c.dim});
    }
  }

  /// (N, T, dim) -> (N, T, dim), same rate. Chunks are for causal stacks and count frames of the input. Throws
  /// ConfigError for chunks that do not divide by `downsample`, or with too little to their left for the convolutions.
  Sequence<B> operator()(const Sequence<B>& x, const Chunking& chunking = {}) const {
    return run(x, zipformer::Chunks(chunking));
  }
  /// The same with chunks counted already; for stacks of stacks.
  Sequence<B> run(const Sequence<B>& x, const zipformer::Chunks& chunks) const {
    check(x, chunks);
    if (!downsample) return at_own_rate(x, chunks);
    const Sequence<B> slow = at_own_rate((*downsample)(x), chunks.downsampled(config.downsample));
    return x.with((*out_combiner)(x.frames, slow.frames, config.downsample));
  }
  static void visit(auto& self, auto&& f) {
    f(self.downsample ? "encoder.layers" : "layers", self.layers);  // names of published checkpoints
    f("downsample", self.downsample);
    f("out_combiner", self.out_combiner);
  }

 private:
  Sequence<B> at_own_rate(Sequence<B> x, const zipformer::Chunks& chunks) const {
    const Var<B, 2> positions = compact_positions(x.context(), x.time(), 0, config.pos_dim);
    for (const auto& layer : layers) x = layer(x, positions, chunks);
    return x;
  }
  void check(const Sequence<B>& x, const zipformer::Chunks& chunks) const {
    check_channels("zipformer", x.frames.shape(), config.dim, "this stack");
    check_lengths("zipformer", x);
    if (chunks.frames <= 0) return;
    if (!config.causal)
      throw ConfigError(
          concat("zipformer: chunks of ", chunks.frames, " frames need a causal stack, and this one is not"));
    const long reach = config.kernel / 2 * config.downsample, left = chunks.frames * chunks.left_chunks;
    if (chunks.left_chunks >= 0 && left < reach)
      throw ConfigError(concat("zipformer: ", left, " frames to the left are fewer than the ", reach,
                               " that convolutions of ", config.kernel, " taps at downsampling ", config.downsample,
                               " look back"));
  }
};

}  // namespace phonaut
