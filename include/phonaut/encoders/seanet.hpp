#pragma once
// Sound to latents by strided convolutions: the encoder of SoundStream, EnCodec and Mimi (layers/seanet.hpp).
#include "phonaut/core/unrecorded.hpp"
#include "phonaut/core/waveform.hpp"
#include "phonaut/layers/seanet.hpp"
#include "phonaut/layers/standardise.hpp"
#include "phonaut/ops/mask_samples.hpp"

namespace phonaut {

/// Waveform (N, samples), or frames (N, T, signal), -> frames (N, ceil(T / hop), dims). Causal: a frame knows nothing
/// behind its own hop.
///
///   auto state = encoder.start(batch);
///   while (...) frames = encoder(chunk, state);   // chunks of whole hops; a shorter one ends its streams
template <class B>
struct SeanetEncoder {
  /// Residual units, then the convolution that lowers the rate.
  struct Stage {
    std::vector<SeanetUnit<B>> units;
    Conv1d<B> down;
    static void visit(auto& self, auto&& f) {
      f("units", self.units);
      f("down", self.down);
    }
  };
  SeanetConfig config;
  Conv1d<B> first;
  std::vector<Stage> stages;
  Conv1d<B> last;

  /// Throws ConfigError for sizes that make no sense.
  SeanetEncoder(Context<B>& ctx, const SeanetConfig& c)
      : config(checked(c)),
        first(ctx, same_rate(c.signal, c.channels, c.taps)),
        last(ctx, same_rate(c.widest(), c.dims, c.last_taps)) {
    long channels = c.channels;
    for (const long stride : c.strides) {
      stages.push_back({detail::seanet_units(ctx, c, channels), Conv1d<B>(ctx, {.in = channels,
                                                                                .out = 2 * channels,
                                                                                .taps = 2 * stride,
                                                                                .stride = stride,
                                                                                .padding = ConvPadding::by_stride(),
                                                                                .normed = c.normed})});
      channels *= 2;
    }
  }

  /// Throws ShapeError for another number of channels than the signal has.
  Sequence<B> operator()(const Sequence<B>& x) const {
    WholeRecordings convolve;
    return run(x, convolve);
  }
  Sequence<B> operator()(const Waveform<B>& x) const { return (*this)(as_column(x)); }

  /// Rescales the weights so that every convolution gives values of mean 0 and variance 1 for this batch; returns its
  /// latents. Once, before training: see StandardiseConvs.
  Sequence<B> standardise(const Sequence<B>& x) const {
    const Unrecorded<B> unrecorded(x.context());
    StandardiseConvs convolve;
    return run(x, convolve);
  }

  /// The state of `batch` streams. Throws ConfigError for a batch of none.
  ConvPasts<B> start(long batch) const {
    ConvPasts<B> state("seanet encoder", batch);
    state.add(first, config.signal);
    for (const Stage& stage : stages) {
      for (const auto& unit : stage.units) unit.add_pasts(state);
      state.add(stage.down, stage.down.weight.extent(2));
    }
    state.add(last, last.weight.extent(2));
    return state;
  }
  /// The frames of the next chunk. A stream with fewer samples than the chunk ends with it, and all of them do with a
  /// chunk that is no multiple of the hop. Throws ShapeError for another number of streams than the state's, StateError
  /// for samples of a stream that has ended.
  Sequence<B> operator()(const Sequence<B>& chunk, ConvPasts<B>& state) const {
    Streaming<B> streaming(chunk.context());
    const long hop = config.hop(), whole = (chunk.time() + hop - 1) / hop * hop;
    state.streams.check("seanet encoder", chunk, whole, 0);
    NextChunk<B> convolve(state);
    const Sequence<B> y = run(chunk, convolve);
    state.streams.count(chunk);
    state.streams.end_short(chunk, whole);
    return y;
  }
  Sequence<B> operator()(const Waveform<B>& chunk, ConvPasts<B>& state) const {
    return (*this)(as_column(chunk), state);
  }

  static void visit(auto& self, auto&& f) {
    f("first", self.first);
    f("stages", self.stages);
    f("last", self.last);
  }

 private:
  static const SeanetConfig& checked(const SeanetConfig& c) {
    c.check("seanet encoder");
    return c;
  }
  typename Conv1d<B>::Config same_rate(long in, long out, long taps) const {
    return {.in = in, .out = out, .taps = taps, .padding = ConvPadding::causal(), .normed = config.normed};
  }
  Sequence<B> run(const Sequence<B>& signal, auto& convolve) const {
    check_channels("seanet encoder", signal.frames.shape(), config.signal, "the first convolution");
    check_lengths("seanet encoder", signal);
    Sequence<B> x = convolve(first, signal);
    for (const Stage& stage : stages) {
      for (const auto& unit : stage.units) x = unit.run(x, convolve);
      x = convolve(stage.down, x.with(elu(x.frames)));
    }
    return convolve(last, x.with(elu(x.frames)));
  }
};

}  // namespace phonaut
