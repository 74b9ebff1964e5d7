#pragma once
// Resampling as a layer: its filter made once, whole signals or streams.
#include "phonaut/core/full_precision.hpp"
#include "phonaut/layers/streams.hpp"
#include "phonaut/ops/resample.hpp"

namespace phonaut {

/// What a resampler remembers between chunks. All streams of a batch move together.
template <class B>
struct ResampleState {
  State<B, 2> past;                  ///< (N, taps - 1): samples that the next frame still sees
  State<Reference, 1, long> counts;  ///< (3): samples held in `past`, taken in so far, given out so far

  long& held() { return counts.tensor().data()[0]; }
  long& taken() { return counts.tensor().data()[1]; }
  long& given() { return counts.tensor().data()[2]; }
  static void visit(auto& self, auto&& f) {
    f("past", self.past);
    f("counts", self.counts);
  }
};

/// Waveform (N, samples) -> (N, ceil(samples · to / from)), without delay and with gradient (ops/resample.hpp). Any
/// number of threads may use one.
template <class B>
struct Resampler {
  using Config = ResampleConfig;

  /// Throws ConfigError as ResampleFilter.
  Resampler(Context<B>& ctx, const Config& c)
      : config(c), filter(c), bank(make_filter_bank(ctx, filter.phases, filter.rows)) {}

  /// Throws ConfigError if the waveform is known to have another rate than `from`.
  Waveform<B> operator()(const Waveform<B>& x) const {
    check_rate("resampler", x, static_cast<double>(config.from));
    Waveform<B> y = resample(x, filter, bank);
    y.rate = static_cast<double>(config.to);
    return y;
  }

  /// The state of `batch` streams. Throws ConfigError for a batch of none.
  ResampleState<B> start(long batch) const {
    if (batch < 1) throw ConfigError(concat("resampler: a batch of ", batch, " streams cannot be started"));
    ResampleState<B> state{zero_state<B>(Shape<2>{batch, std::max(1L, filter.taps - 1)}),
                           zero_state<Reference, long>(Shape<1>{3})};
    state.held() = filter.width;  // the zeros in front of the signal
    return state;
  }
  /// The next samples of each stream (N, any number) -> the samples that they settle; all chunks together, and
  /// `finish`, give what the whole signal gives at once. A sample waits for the width + stride (filter) samples behind
  /// it. Throws ShapeError for another batch or for chunks with lengths.
  Waveform<B> operator()(const Waveform<B>& chunk, ResampleState<B>& state) const {
    if (chunk.padded() || chunk.batch() != state.past.shape()[0])
      throw ShapeError(concat("resampler: a chunk of shape ", text(chunk.samples.shape()),
                              chunk.padded() ? " has lengths, but" : " meets a state of ", state.past.shape()[0],
                              " streams, which move together"));
    check_rate("resampler", chunk, static_cast<double>(config.from));
    const Streaming<B> streaming(chunk.context());
    state.taken() += chunk.time();
    return {push(chunk.samples, state), {}, static_cast<double>(config.to)};
  }
  /// The samples behind which nothing follows. The state is then at its start again.
  Waveform<B> finish(Context<B>& ctx, ResampleState<B>& state) const {
    const Streaming<B> streaming(ctx);
    const long batch = state.past.shape()[0], left = filter.samples(state.taken()) - state.given();
    const auto zeros = ctx.constant(ctx.zeros(Shape<2>{batch, filter.identity() ? 0 : filter.width + filter.stride}));
    const auto y = slice(push(zeros, state), 1, 0, left);
    state = start(batch);
    return {y, {}, static_cast<double>(config.to)};
  }
  static void visit(auto&, auto&&) {}

  Config config;
  ResampleFilter filter;
  Tensor<B, 3> bank;  ///< (phases, taps, 1)

 private:
  /// Everything that the held samples and these settle; what the next frame sees of them is held.
  Var<B, 2> push(const Var<B, 2>& samples, ResampleState<B>& state) const {
    if (filter.identity()) {
      state.given() += samples.extent(1);
      return samples;
    }
    auto& ctx = samples.context();
    const auto past = slice(ctx.constant(state.past.tensor()), 1, 0, state.held());
    const auto all = concatenate(std::array{past, samples}, 1);
    const long batch = all.extent(0), time = all.extent(1), frames = filter.grid(0, 0).frames_out(time);
    const FullPrecision full(ctx);
    const Sequence<B> in{reshape(all, Shape<3>{batch, time, 1}), {}, 0};
    const auto y = conv1d<B>(in, ctx.constant(bank), {}, filter.grid(0, 0)).frames;
    const long kept = time - frames * filter.stride;
    auto to = state.past.tensor().out();
    to.shape[1] = kept;
    if (kept > 0) kernel::copy_block(ctx.backend(), slice(all, 1, time - kept, time).in(), to, false);
    state.held() = kept;
    state.given() += frames * filter.phases;
    return reshape(y, Shape<2>{batch, frames * filter.phases});
  }
};

}  // namespace phonaut
