#pragma once
// Latents to sound by transposed convolutions: the decoder of SoundStream, EnCodec and Mimi (layers/seanet.hpp).
#include "phonaut/core/unrecorded.hpp"
#include "phonaut/core/waveform.hpp"
#include "phonaut/layers/seanet.hpp"
#include "phonaut/layers/standardise.hpp"

namespace phonaut {

/// Frames (N, T, dims) -> waveform (N, T · hop), or frames (N, T · hop, signal): the strides of the configuration from
/// the last to the first. Causal, as the encoder; cut what it gives to the length of what was encoded.
///
///   auto state = decoder.start(batch);
///   while (...) sound = decoder(frames, state);   // any number of frames at a time
template <class B>
struct SeanetDecoder {
  /// The convolution that raises the rate, then residual units.
  struct Stage {
    ConvTranspose1d<B> up;
    std::vector<SeanetUnit<B>> units;
    static void visit(auto& self, auto&& f) {
      f("up", self.up);
      f("units", self.units);
    }
  };
  SeanetConfig config;
  Conv1d<B> first;
  std::vector<Stage> stages;
  Conv1d<B> last;

  /// Throws ConfigError for sizes that make no sense.
  SeanetDecoder(Context<B>& ctx, const SeanetConfig& c)
      : config(checked(c)),
        first(ctx, same_rate(c.dims, c.widest(), c.taps)),
        last(ctx, same_rate(c.channels, c.signal, c.last_taps)) {
    long channels = c.widest();
    for (auto stride = c.strides.rbegin(); stride != c.strides.rend(); ++stride) {
      auto up = ConvTranspose1d<B>::Config::causal(channels, channels / 2, 2 * *stride, *stride);
      up.normed = c.normed;
      stages.push_back({ConvTranspose1d<B>(ctx, up), detail::seanet_units(ctx, c, channels / 2)});
      channels /= 2;
    }
  }

  /// Throws ConfigError if the signal is no waveform.
  Waveform<B> operator()(const Sequence<B>& x) const { return as_waveform(signal(x)); }
  /// The signal as frames (N, T · hop, signal).
  Sequence<B> signal(const Sequence<B>& x) const {
    WholeRecordings convolve;
    return run(x, convolve);
  }

  /// The same as the encoder's for latents; the signal that comes out has a standard deviation of `level`.
  Sequence<B> standardise(const Sequence<B>& x, double level) const {
    const Unrecorded<B> unrecorded(x.context());
    StandardiseConvs convolve;
    run(x, convolve);
    StandardiseConvs::amplify(last, level);
    return signal(x);
  }

  /// The state of `batch` streams. Throws ConfigError for a batch of none.
  ConvPasts<B> start(long batch) const {
    ConvPasts<B> state("seanet decoder", batch);
    state.add(first, first.weight.extent(2));
    for (const Stage& stage : stages) {
      state.add(stage.up, stage.up.weight.extent(0));
      for (const auto& unit : stage.units) unit.add_pasts(state);
    }
    state.add(last, last.weight.extent(2));
    return state;
  }
  /// The sound of the next frames. A stream with fewer frames than the chunk ends with it. Throws ShapeError for
  /// another number of streams than the state's; StateError for frames of a stream that has ended.
  Waveform<B> operator()(const Sequence<B>& chunk, ConvPasts<B>& state) const {
    return as_waveform(signal(chunk, state));
  }
  Sequence<B> signal(const Sequence<B>& chunk, ConvPasts<B>& state) const {
    Streaming<B> streaming(chunk.context());
    state.streams.check("seanet decoder", chunk, chunk.time(), 0);
    NextChunk<B> convolve(state);
    const Sequence<B> y = run(chunk, convolve);
    state.streams.count(chunk);
    state.streams.end_short(chunk, chunk.time());
    return y;
  }

  static void visit(auto& self, auto&& f) {
    f("first", self.first);
    f("stages", self.stages);
    f("last", self.last);
  }

 private:
  static const SeanetConfig& checked(const SeanetConfig& c) {
    c.check("seanet decoder");
    return c;
  }
  typename Conv1d<B>::Config same_rate(long in, long out, long taps) const {
    return {.in = in, .out = out, .taps = taps, .padding = ConvPadding::causal(), .normed = config.normed};
  }
  static Waveform<B> as_waveform(const Sequence<B>& x) {
    if (x.channels() != 1)
      throw ConfigError(concat("seanet decoder: its signal has ", x.channels(), " channels, so it is no waveform"));
    return {reshape(x.frames, Shape<2>{x.batch(), x.time()}), x.lengths, x.rate};
  }
  Sequence<B> run(const Sequence<B>& frames, auto& convolve) const {
    check_channels("seanet decoder", frames.frames.shape(), config.dims, "the first convolution");
    check_lengths("seanet decoder", frames);
    Sequence<B> x = convolve(first, frames);
    for (const Stage& stage : stages) {
      x = convolve(stage.up, x.with(elu(x.frames)));
      for (const auto& unit : stage.units) x = unit.run(x, convolve);
    }
    return convolve(last, x.with(elu(x.frames)));
  }
};

}  // namespace phonaut
