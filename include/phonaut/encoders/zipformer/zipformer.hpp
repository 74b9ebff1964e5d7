#pragma once
#include <vector>

#include "phonaut/encoders/zipformer/config.hpp"

namespace phonaut {

/// One of the outputs inside of a Zipformer, counted from 0.
struct ZipformerPick {
  static constexpr long whole = -1;
  long stack = whole;  ///< `whole`: the output of the encoder
  long layer =
      whole;  ///< `whole`: the output of the stack, at the encoder's rate; those of layers have the stack's own
};

/// What a Zipformer remembers of a batch of streams.
template <class B>
struct ZipformerState {
  Chunking chunking;
  Streams streams;
  std::vector<std::vector<ZipformerLayerState<B>>> layers;  ///< of each stack

  static void visit(auto& self, auto&& f) {
    f("", self.streams);
    f("layers", self.layers);
  }
};

/// Stacks at several rates, one after the other (Zipformer2). Yao et al., "Zipformer: a faster and better encoder for
/// automatic speech recognition", 2023, https://arxiv.org/abs/2310.11230.
///
/// A stack reads as many channels of its predecessor as it has, or all of them with zeros behind; the output takes each
/// channel from the last stack that has it, and halves the rate.
template <class B>
struct Zipformer {
  using Config = ZipformerConfig;
  Config config;
  std::vector<ZipformerStack<B>> encoders;
  zipformer::Downsample<B> downsample_output;

  /// Throws ConfigError without stacks, or for sizes that cannot be.
  Zipformer(Context<B>& ctx, const Config& c)
      : config(c), downsample_output(ctx, {.factor = c.output_downsample, .padding = c.padding}) {
    if (c.stacks.empty()) throw ConfigError("zipformer: an encoder needs at least one stack");
    const double turn = 4000 / static_cast<double>(c.stacks.size() + 1);  // batches in which a stack's layers wake up
    for (ZipformerStackConfig stack : c.stacks) {
      stack.padding = c.padding;
      stack.training = c.training;
      stack.training.layers_from = turn * static_cast<double>(encoders.size() + 1);
      stack.training.layers_until = turn * static_cast<double>(encoders.size() + 2);
      encoders.emplace_back(ctx, stack);
    }
  }

  /// (N, T, dim of the first stack) -> (N, ceil(T / 2), widest dim). Chunks count frames of x. Throws ConfigError for
  /// chunks that a stack cannot work with.
  Sequence<B> operator()(const Sequence<B>& x, const Chunking& chunking = {}) const {
    const zipformer::Chunks chunks(chunking);
    const zipformer::FeatureFlags flags = feature_flags(x);
    return downsample_output(
        through(0, x, [&](size_t i, const Sequence<B>& in) { return encoders[i].run(in, chunks, {}, flags); }));
  }
  /// What the picked layers, stacks or the encoder put out, in the order of `picks`, each with its lengths and frame
  /// rate. Stacks behind the last one that is needed do not run. Throws ConfigError for a pick that is not there.
  std::vector<Sequence<B>> encode(const Sequence<B>& x, const std::vector<ZipformerPick>& picks,
                                  const Chunking& chunking = {}) const {
    const zipformer::Chunks chunks(chunking);
    const zipformer::FeatureFlags flags = feature_flags(x);
    return collect(x, picks, [&](size_t i, const Sequence<B>& in, const auto& seen) {
      return encoders[i].run(in, chunks, seen, flags);
    });
  }
  /// What every stack puts out, at the rate of x.
  std::vector<Sequence<B>> stack_outputs(const Sequence<B>& x, const Chunking& chunking = {}) const {
    return encode(x, stack_picks(), chunking);
  }
  /// Each channel from the last stack that has it.
  static Sequence<B> concatenated(const std::vector<Sequence<B>>& outputs) {
    Sequence<B> all = outputs.back();
    for (size_t i = outputs.size() - 1; i-- > 0;) all = widened(all, outputs[i]);
    return all;
  }

  /// The state of `batch` streams that come in chunks of chunking.frames and look chunking.left frames back; both count
  /// frames of the input. Throws ConfigError for numbers that a stack cannot work with.
  ZipformerState<B> start(long batch, const Chunking& chunking) const {
    ZipformerState<B> state{chunking, Streams("zipformer", batch), {}};
    for (const auto& stack : encoders) state.layers.push_back(stack.start_layers(batch, chunking));
    zipformer::Chunks(chunking).downsampled(config.output_downsample);  // throws unless it divides
    return state;
  }
  /// The next chunk (N, T, dim of the first stack) of each stream -> (N, chunking.frames / 2, widest dim), equal to
  /// those frames of the chunked whole if chunking.left is a multiple of chunking.frames. A stream of which the chunk
  /// holds fewer frames than chunking.frames ends there. Throws ShapeError for a batch, length or width that does not
  /// fit the state, and for a stream that ends without a frame; StateError for frames of one that has ended. Records
  /// nothing.
  Sequence<B> operator()(const Sequence<B>& chunk, ZipformerState<B>& state) const {
    return zipformer::run_stream(chunk, state.chunking, state.streams,
                                 [&](const Sequence<B>& whole) { return step(whole, state); });
  }
  /// The same with what is inside: as `encode` of the whole. Every stack runs, for the next chunk needs what it
  /// remembers of this one.
  std::vector<Sequence<B>> encode(const Sequence<B>& chunk, const std::vector<ZipformerPick>& picks,
                                  ZipformerState<B>& state) const {
    std::vector<Sequence<B>> found;
    std::vector<ZipformerPick> all = picks;
    all.push_back({});
    zipformer::run_stream(chunk, state.chunking, state.streams, [&](const Sequence<B>& whole) {
      found = collect(whole, all, [&](size_t i, const Sequence<B>& in, const auto& seen) {
        return encoders[i].step(in, state.streams, state.chunking, state.layers[i], seen);
      });
      return found.back();
    });
    found.pop_back();
    return found;
  }
  /// The same for a chunk of chunking.frames, before the streams are counted. Streams without a frame in it wait: their
  /// state stays as it is, and no frame comes out.
  Sequence<B> step(const Sequence<B>& x, ZipformerState<B>& state) const {
    return downsample_output(through(0, x, [&](size_t i, const Sequence<B>& in) {
      return encoders[i].step(in, state.streams, state.chunking, state.layers[i]);
    }));
  }
  static void visit(auto& self, auto&& f) {
    f("encoders", self.encoders);
    f("downsample_output", self.downsample_output);
  }

 private:
  /// Which utterances are masked, in all stacks alike.
  zipformer::FeatureFlags feature_flags(const Sequence<B>& x) const {
    return zipformer::feature_flags(zipformer::Training<B>(encoders[0].layers[0].recipe, x.context()), x.batch());
  }
  /// x as stack i takes it: as many channels as it has, zeros where x has fewer.
  Sequence<B> fitted(const Sequence<B>& x, size_t i) const {
    const long width = x.channels(), dim = encoders[i].config.dim;
    if (dim == width) return x;
    return x.with(dim < width ? slice(x.frames, 2, 0, dim) : pad(x.frames, 2, 0, dim - width));
  }
  /// `late`, and behind its channels those that only `early` has.
  static Sequence<B> widened(const Sequence<B>& late, const Sequence<B>& early) {
    const long width = late.channels(), wider = early.channels();
    if (wider <= width) return late;
    return late.with(concatenate(std::array{late.frames, slice(early.frames, 2, width, wider)}, 2));
  }
  std::vector<ZipformerPick> stack_picks() const {
    std::vector<ZipformerPick> picks;
    for (long i = 0; i < static_cast<long>(encoders.size()); ++i) picks.push_back({.stack = i});
    return picks;
  }
  void check_pick(const ZipformerPick& pick) const {
    const long stacks = static_cast<long>(encoders.size());
    if (pick.stack == ZipformerPick::whole && pick.layer == ZipformerPick::whole) return;
    if (pick.stack < 0 || pick.stack >= stacks)
      throw ConfigError(concat("zipformer: stack ", pick.stack, " is none of the ", stacks, " of this encoder"));
    const long layers = static_cast<long>(encoders[static_cast<size_t>(pick.stack)].layers.size());
    if (pick.layer != ZipformerPick::whole && (pick.layer < 0 || pick.layer >= layers))
      throw ConfigError(concat("zipformer: layer ", pick.layer, " is none of the ", layers, " of stack ", pick.stack));
  }
  /// The picked outputs; run(i, x, seen) is stack i.
  template <class Run>
  std::vector<Sequence<B>> collect(const Sequence<B>& x, const std::vector<ZipformerPick>& picks,
                                   const Run& run) const {
    size_t needed = 0;
    bool end = false;
    for (const ZipformerPick& pick : picks) {
      check_pick(pick);
      end = end || pick.stack == ZipformerPick::whole;
      needed = std::max(needed, static_cast<size_t>(pick.stack + 1));
    }
    std::vector<Sequence<B>> found(picks.size()), outputs;
    const auto put = [&](long stack, long layer, const Sequence<B>& y) {
      for (size_t k = 0; k < picks.size(); ++k)
        if (picks[k].stack == stack && picks[k].layer == layer) found[k] = y;
    };
    for (size_t i = 0; i < (end ? encoders.size() : needed); ++i) {
      const long stack = static_cast<long>(i);
      outputs.push_back(run(i, i == 0 ? x : fitted(outputs.back(), i),
                            [&](size_t layer, const Sequence<B>& y) { put(stack, static_cast<long>(layer), y); }));
      put(stack, ZipformerPick::whole, outputs.back());
    }
    if (end) put(ZipformerPick::whole, ZipformerPick::whole, downsample_output(concatenated(outputs)));
    return found;
  }
  /// Stack i and those behind it, as run(i, x); no list is made of what they put out.
  template <class Run>
  Sequence<B> through(size_t i, const Sequence<B>& x, const Run& run) const {
    const Sequence<B> y = run(i, x);
    return i + 1 == encoders.size() ? y : widened(through(i + 1, fitted(y, i + 1), run), y);
  }
};

}  // namespace phonaut
