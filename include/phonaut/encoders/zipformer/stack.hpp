#pragma once
#include <algorithm>
#include <optional>
#include <vector>

#include "phonaut/core/visit.hpp"
#include "phonaut/encoders/zipformer/downsample.hpp"
#include "phonaut/encoders/zipformer/layer.hpp"
#include "phonaut/ops/compact_positions.hpp"
#include "phonaut/ops/mask_frames.hpp"

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
  long unmasked_dim = 0;  ///< channels that training never masks, if a Zipformer's recipe masks any; 0: all of them
  ZipformerTraining training = ZipformerTraining::off();
};

/// What a stack remembers of a batch of streams.
template <class B>
struct ZipformerStackState {
  Chunking chunking;
  Streams streams;
  std::vector<ZipformerLayerState<B>> layers;

  static void visit(auto& self, auto&& f) {
    f("", self.streams);
    f("layers", self.layers);
  }
};

namespace zipformer {

/// For who does not want to see what the layers of a stack put out.
struct Unseen {
  template <class B>
  void operator()(size_t, const Sequence<B>&) const {}
};

/// Calls run(chunk) with a chunk of all its frames, zeros where a stream has none, and counts them. The lengths of what
/// comes back say how much of it is real.
template <class B, class Run>
Sequence<B> run_stream(const Sequence<B>& chunk, const Chunking& chunking, Streams& streams, const Run& run) {
  const long frames = chunking.frames, time = chunk.time();
  if (time > frames)
    throw ShapeError(concat("zipformer: a chunk of ", time, " frames is longer than the ", frames,
                            " that its state was started for"));
  streams.check("zipformer", chunk, frames, 1);
  const Streaming<B> streaming(chunk.context());
  Sequence<B> whole = mask_frames(chunk);
  if (time < frames) {
    if (!whole.padded()) {
      whole.lengths = chunk.context().empty_lengths(chunk.batch());
      std::fill_n(whole.lengths.data(), chunk.batch(), time);
    }
    whole.frames = pad(whole.frames, 1, 0, frames - time);
  }
  const Sequence<B> y = run(whole);
  streams.count(chunk);
  streams.end_short(chunk, frames);
  return y;
}

}  // namespace zipformer

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
                                        .padding = c.padding,
                                        .training = c.training});
    for (long i = 0; i < c.layers; ++i) {
      layers.push_back(deep_copy(first, ctx.backend()));
      layers.back().bypass.config.skip = skip_of(i);
    }
    if (c.downsample > 1) {
      downsample.emplace(ctx, typename zipformer::Downsample<B>::Config{c.downsample, c.padding});
      out_combiner.emplace(ctx, typename zipformer::Bypass<B>::Config{
                                    .dim = c.dim, .least = c.training.bypass_least, .recipe = layers[0].recipe});
    }
  }

  /// (N, T, dim) -> (N, T, dim), same rate. Chunks are for causal stacks and count frames of the input. Throws
  /// ConfigError for chunks that do not divide by `downsample`, or with too little to their left for the convolutions.
  Sequence<B> operator()(const Sequence<B>& x, const Chunking& chunking = {}) const {
    return run(x, zipformer::Chunks(chunking));
  }
  /// The same with chunks counted already; for stacks of stacks. Calls seen(i, y) with what layer i puts out, at the
  /// layers' own rate. `flags` say of which utterances channels are masked.
  template <class Seen = zipformer::Unseen>
  Sequence<B> run(const Sequence<B>& x, const zipformer::Chunks& chunks, const Seen& seen = {},
                  const zipformer::FeatureFlags& flags = {}) const {
    check(x, chunks);
    const auto own = chunks.downsampled(config.downsample);
    const Tensor<B, 2> mask = zipformer::feature_mask(x.context(), flags, config.dim, config.unmasked_dim);
    const auto masked = [&](const Sequence<B>& y) { return mask ? y.with(scale_utterances(y.frames, mask)) : y; };
    return at_own_rate(x, [&](Sequence<B> y) {
      Var<B, 2> positions = compact_positions(y.context(), y.time(), 0, config.pos_dim);
      if (const zipformer::Training<B> training(layers[0].recipe, y.context()); training)
        positions = dropout(positions, training.at(&ZipformerTraining::position_dropout));
      y = masked(y);
      for (size_t i = 0; i < layers.size(); ++i) seen(i, y = masked(layers[i](y, positions, own)));
      return y;
    });
  }

  /// The state of `batch` streams that come in chunks of chunking.frames and look chunking.left frames back, both
  /// counted at the rate of the input. Throws ConfigError for numbers that the stack cannot work with.
  ZipformerStackState<B> start(long batch, const Chunking& chunking) const {
    return {chunking, Streams("zipformer", batch), start_layers(batch, chunking)};
  }
  /// The next chunk (N, T, dim) of each stream -> (N, chunking.frames, dim); equal to the chunks of the whole. A stream
  /// of which the chunk holds fewer frames than chunking.frames ends there. Throws ShapeError for a batch, length or
  /// width that does not fit the state, and for a stream that ends without a frame; StateError for frames of one that
  /// has ended. Records nothing.
  Sequence<B> operator()(const Sequence<B>& chunk, ZipformerStackState<B>& state) const {
    return zipformer::run_stream(chunk, state.chunking, state.streams, [&](const Sequence<B>& whole) {
      return step(whole, state.streams, state.chunking, state.layers);
    });
  }
  std::vector<ZipformerLayerState<B>> start_layers(long batch, const Chunking& chunking) const {
    check_stream(chunking);
    std::vector<ZipformerLayerState<B>> states;
    for (const auto& layer : layers) states.push_back(layer.start(batch, chunking.left / config.downsample));
    return states;
  }
  /// One chunk of chunking.frames; streams without a frame in it wait. For stacks of stacks.
  template <class Seen = zipformer::Unseen>
  Sequence<B> step(const Sequence<B>& x, const Streams& streams, const Chunking& chunking,
                   std::vector<ZipformerLayerState<B>>& states, const Seen& seen = {}) const {
    check_channels("zipformer", x.frames.shape(), config.dim, "this stack");
    const long left = chunking.left / config.downsample;
    return at_own_rate(x, [&](Sequence<B> y) {
      const Var<B, 2> positions = compact_positions(y.context(), y.time(), left, config.pos_dim);
      const zipformer::StreamStep step = step_of(y, streams, left);
      for (size_t i = 0; i < layers.size(); ++i) {
        auto past = states[i].past(y.context());
        y = layers[i](y, positions, step, past);
        states[i].remember(past, y);
        seen(i, y);
      }
      return y;
    });
  }
  static void visit(auto& self, auto&& f) {
    f(self.downsample ? "encoder.layers" : "layers", self.layers);  // names of published checkpoints
    f("downsample", self.downsample);
    f("out_combiner", self.out_combiner);
  }

 private:
  /// How often layer i is passed by: the layers take turns.
  ScheduledFloat skip_of(long i) const {
    const ZipformerTraining& t = config.training;
    const double turn = (t.layers_until - t.layers_from) / static_cast<double>(config.layers);
    const double begin = t.layers_from + static_cast<double>(i) * turn;
    const double last = t.layer_skip_last * std::sqrt(static_cast<double>(config.downsample));
    if (!(turn > 0)) return last;
    return {{begin, t.layer_skip_first}, {begin + turn, last}};
  }
  template <class Layers>
  Sequence<B> at_own_rate(const Sequence<B>& x, const Layers& run_layers) const {
    if (!downsample) return run_layers(x);
    const Sequence<B> slow = run_layers((*downsample)(x));
    return x.with((*out_combiner)(x.frames, slow.frames, config.downsample));
  }
  /// `x` is a chunk at the stack's own rate.
  zipformer::StreamStep step_of(const Sequence<B>& x, const Streams& streams, long left) const {
    zipformer::StreamStep step{x.context().empty_lengths(x.batch()), {}};
    const bool masked = x.padded() && config.padding == Padding::masked;
    if (masked) step.conv_frames = x.context().empty_lengths(x.batch());
    for (long n = 0; n < x.batch(); ++n) {
      const long seen = (streams.processed(n) + config.downsample - 1) / config.downsample;
      step.first_key.data()[n] = left - std::min(left, seen);
      if (masked) step.conv_frames.data()[n] = seen > 0 ? x.time() : x.length(n);
    }
    return step;
  }
  void check(const Sequence<B>& x, const zipformer::Chunks& chunks) const {
    check_channels("zipformer", x.frames.shape(), config.dim, "this stack");
    check_lengths("zipformer", x);
    if (chunks.frames <= 0) return;
    check_causal(chunks.frames);
    if (chunks.left_chunks >= 0) check_reach(chunks.frames * chunks.left_chunks);
  }
  void check_stream(const Chunking& c) const {
    if (c.frames < 1 || c.left < 0)
      throw ConfigError(
          concat("zipformer: a stream needs chunks of at least 1 frame and a bounded number of frames to "
                 "the left, got ",
                 c.frames, " and ", c.left));
    check_causal(c.frames);
    zipformer::Chunks(c).downsampled(config.downsample);  // throws unless it divides
    if (c.left % config.downsample != 0)
      throw ConfigError(concat("zipformer: ", c.left, " frames to the left do not divide by the downsampling factor ",
                               config.downsample));
    check_reach(c.left);
  }
  void check_causal(long chunk) const {
    if (!config.causal)
      throw ConfigError(concat("zipformer: chunks of ", chunk, " frames need a causal stack, and this one is not"));
  }
  void check_reach(long left) const {
    const long reach = config.kernel / 2 * config.downsample;
    if (left < reach)
      throw ConfigError(concat("zipformer: ", left, " frames to the left are fewer than the ", reach,
                               " that convolutions of ", config.kernel, " taps at downsampling ", config.downsample,
                               " look back"));
  }
};

}  // namespace phonaut
