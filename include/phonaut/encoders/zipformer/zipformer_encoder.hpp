#pragma once
#include "phonaut/encoders/zipformer/zipformer.hpp"
#include "phonaut/frontends/conv2d_subsampling.hpp"
#include "phonaut/layers/stream_windows.hpp"

namespace phonaut {

/// What stem and encoder remember of a batch of streams.
template <class B>
struct ZipformerEncoderState {
  Streams streams;            ///< counts features
  StreamWindows<B> features;  ///< those that wait for the stem's window to fill
  Conv2dSubsamplingState<B> encoder_embed;
  ZipformerState<B> encoder;
  double rate = 0;  ///< of the features, as the last piece told

  static void visit(auto& self, auto&& f) {
    f("", self.streams);
    f("features", self.features);
    f("encoder_embed", self.encoder_embed);
    f("encoder", self.encoder);
  }
};

/// Filterbank features to encoder frames: stem and Zipformer, named as in published ASR checkpoints.
template <class B>
struct ZipformerEncoder {
  struct Config {
    ZipformerConfig encoder = ZipformerConfig::medium();
    long features = 80;
    std::array<long, 3> channels{8, 32, 128};  ///< of the stem's convolutions
  };
  Conv2dSubsampling<B> encoder_embed;
  Zipformer<B> encoder;

  /// Throws ConfigError for sizes that cannot be.
  ZipformerEncoder(Context<B>& ctx, const Config& c)
      : encoder_embed(ctx, {.features = c.features,
                            .out = c.encoder.stacks.empty() ? 0 : c.encoder.stacks.front().dim,
                            .channels = c.channels,
                            .padding = c.encoder.padding,
                            .training = c.encoder.training}),
        encoder(ctx, c.encoder) {}

  /// (N, T, features), usually at 100 Hz -> (N, T'', width) at a quarter of the rate, with T' = (T - 7) / 2 and
  /// T'' = (T' + 1) / 2. Chunks count frames behind the stem (50 Hz). Throws ShapeError for fewer than 9 frames.
  Sequence<B> operator()(const Sequence<B>& features, const Chunking& chunking = {}) const {
    return encoder(encoder_embed(features), chunking);
  }
  /// What the picked layers and stacks put out; see Zipformer::encode.
  std::vector<Sequence<B>> encode(const Sequence<B>& features, const std::vector<ZipformerPick>& picks,
                                  const Chunking& chunking = {}) const {
    return encoder.encode(encoder_embed(features), picks, chunking);
  }

  /// The state of `batch` streams. Chunks count frames behind the stem: a chunk is complete when the stem has seen
  /// 2·chunking.frames + 13 features, and the next one 2·chunking.frames features later. Throws ConfigError for numbers
  /// that a stack cannot work with.
  ZipformerEncoderState<B> start(long batch, const Chunking& chunking) const {
    ZipformerState<B> inner = encoder.start(batch, chunking);  // checks the numbers
    return {Streams("zipformer", batch),
            {batch, encoder_embed.window_of(chunking.frames), 2 * chunking.frames, encoder_embed.config.features},
            encoder_embed.start(batch),
            std::move(inner)};
  }
  /// The next features (N, T, features) of each stream, any number of them -> (N, T'', width): what is complete by now,
  /// possibly nothing; the lengths count each stream's. A stream of which a piece holds fewer than T features ends
  /// there, and gives all that it still can. Together the pieces of a stream give what its recording gives in one call
  /// with the same chunks, if chunking.left is a multiple of chunking.frames. Throws ShapeError for a batch, length or
  /// width that does not fit, and for a stream that ends before its ninth feature; StateError for features of one that
  /// has ended; in all cases the state is as before. Records nothing.
  Sequence<B> operator()(const Sequence<B>& piece, ZipformerEncoderState<B>& state) const {
    check_channels("zipformer", piece.frames.shape(), encoder_embed.config.features, "its stem");
    return advance(piece, piece.time(), state);
  }
  /// Ends all streams that have not ended, and returns what they still give.
  Sequence<B> finish(Context<B>& ctx, ZipformerEncoderState<B>& state) const {
    const auto nothing = ctx.empty(Shape<3>{state.streams.batch(), 0, encoder_embed.config.features});
    return advance({ctx.constant(nothing), {}, state.rate}, 1, state);
  }
  static void visit(auto& self, auto&& f) {
    f("encoder_embed", self.encoder_embed);
    f("encoder", self.encoder);
  }

 private:
  /// Streams with fewer than `whole` features in the piece end.
  Sequence<B> advance(const Sequence<B>& piece, long whole, ZipformerEncoderState<B>& state) const {
    state.streams.check("zipformer", piece, whole, 9);
    auto& ctx = piece.context();
    const Streaming<B> streaming(ctx);
    state.rate = piece.rate;
    state.streams.count(piece);
    state.streams.end_short(piece, whole);

    const long batch = piece.batch(), window = state.features.window(), chunk = state.encoder.chunking.frames;
    const long group = encoder.config.output_downsample;
    long steps = 0, longest = 0;
    for (long n = 0; n < batch; ++n) {
      const long there = state.features.held_of(n) + piece.length(n);
      const bool open = state.streams.open(n);
      const long frames =
          open ? (there < window ? 0 : (there - window) / (2 * chunk) + 1) * chunk : encoder_embed.frames_of(there);
      steps = std::max(steps, (frames + chunk - 1) / chunk);
      longest = std::max(longest, (frames + group - 1) / group);
    }
    const auto y = ctx.empty(Shape<3>{batch, longest, encoder.config.width()});
    const Lengths given = zeros(ctx, batch), taken = zeros(ctx, batch);
    const auto fill = [&](long n) { taken.data()[n] += state.features.fill(n, piece, taken.data()[n]); };
    for (long i = 0; i < steps; ++i) {
      const Lengths ready = zeros(ctx, batch);  // streams whose window is complete; the others wait
      for (long n = 0; n < batch; ++n) {
        fill(n);
        const long held = state.features.held_of(n);
        if (held == window || !state.streams.open(n)) ready.data()[n] = held;
      }
      const Sequence<B> features{ctx.constant(state.features.frames.tensor()), ready, piece.rate};
      const Sequence<B> embedded = encoder_embed(features, state.encoder_embed);
      const Sequence<B> out = encoder.step(embedded, state.encoder);
      state.encoder.streams.count(embedded);
      for (long n = 0; n < batch; ++n) {
        put(out, n, y, given.data()[n]);
        given.data()[n] += out.length(n);
        if (ready.data()[n] > 0) state.features.advance(ctx, n);
      }
    }
    for (long n = 0; n < batch; ++n) fill(n);
    return {ctx.constant(y), given, piece.rate / static_cast<double>(2 * group)};
  }
  static Lengths zeros(Context<B>& ctx, long n) {
    Lengths lengths = ctx.empty_lengths(n);
    std::fill_n(lengths.data(), n, 0L);
    return lengths;
  }
  /// Copies the real frames of stream n to frames `at` … of y.
  static void put(const Sequence<B>& from, long n, const Tensor<B, 3>& y, long at) {
    const long count = from.length(n);
    if (count == 0) return;
    auto rows = from.frames.in()[n];
    auto to = y.out()[n];
    rows.shape[0] = to.shape[0] = count;
    to.data += at * to.stride[0];
    kernel::copy_block(from.context().backend(), rows, to, false);
  }
};

}  // namespace phonaut
