#pragma once
// Features of sound that arrives in chunks: what filterbanks, MFCC and log-mel spectrograms share when they stream.
#include "phonaut/layers/streams.hpp"
#include "phonaut/ops/mask_samples.hpp"
#include "phonaut/ops/spectral_kernels.hpp"
#include "phonaut/ops/spectral_plan.hpp"

namespace phonaut {

/// What a spectral frontend remembers of each stream between two chunks.
template <class B>
struct FeatureStreamState {
  State<B, 2> samples;              ///< (N, capacity) the last samples, oldest first
  State<Reference, 1, long> held;   ///< (N) how many of them there are
  State<Reference, 1, long> given;  ///< (N) frames given out so far
  Streams streams;                  ///< samples that each stream has had

  static void visit(auto& self, auto&& f) {
    f("samples", self.samples);
    f("held", self.held);
    f("given", self.given);
    f("streams", self.streams);
  }
};

namespace kernel {

/// One stream: its last `held` samples, and behind them `fresh` new ones. `total` counts all that it has ever had.
template <class S>
struct StreamedSamples {
  const S* old = nullptr;
  long held = 0;
  const S* chunk = nullptr;
  long fresh = 0, total = 0;

  PHONAUT_HD PHONAUT_INLINE long first() const { return total - fresh - held; }
  PHONAUT_HD PHONAUT_INLINE S operator[](long s) const {
    return s < total - fresh ? old[s - first()] : chunk[s - (total - fresh)];
  }
  /// Copies samples begin … end-1. The target may be where the old samples are, as long as it begins before them.
  void copy(long begin, long end, S* to) const {
    const long border = std::clamp(total - fresh, begin, end);
    if (border > begin) to = std::copy(old + begin - first(), old + border - first(), to);
    if (end > border) std::copy(chunk + border - (total - fresh), chunk + end - (total - fresh), to);
  }
};

/// Samples begin … of the signal with `left` samples before it, as it is analysed as a whole; `open`: more will come.
template <class S>
void streamed_window(const Reference&, const StreamedSamples<S>& x, long left, long right, Edge edge, bool open,
                     long begin, View<S, 1> y) {
  const long end = begin + y.size(), length = open ? 1L << 60 : x.total;
  const auto beyond = [&](long p) {
    const long s = p < left + length + right ? mirrored(edge, p - left, length) : -1;
    return s < 0 ? S(0) : x[s];
  };
  const long from = std::clamp(left, begin, end), to = std::clamp(left + x.total, from, end);
  for (long p = begin; p < from; ++p) y.data[p - begin] = beyond(p);
  if (to > from) x.copy(from - left, to - left, y.data + (from - begin));
  for (long p = to; p < end; ++p) y.data[p - begin] = beyond(p);
}

/// Keeps the last `keep` samples of a stream.
template <class S>
void keep_samples(const Reference&, const StreamedSamples<S>& x, long keep, S* y) {
  x.copy(x.total - keep, x.total, y);
}

void streamed_window(const Cuda& cuda, const StreamedSamples<float>& x, long left, long right, Edge edge, bool open,
                     long begin, View<float, 1> y);
void keep_samples(const Cuda& cuda, const StreamedSamples<float>& x, long keep, float* y);

}  // namespace kernel

/// The state of `batch` streams of a plan's frames. Throws ConfigError for a batch of none.
template <class B>
FeatureStreamState<B> start_features(const char* op, const SpectralPlan<TableOf<typename B::Scalar>>& plan,
                                     long batch) {
  Streams streams(op, batch);
  const SpectralConfig& c = plan.config();
  // The samples of an incomplete frame, and those that may yet be mirrored at an end.
  const long capacity = std::max({plan.extent() + c.hop, c.pad_left + 1, c.pad_right + 1});
  return {zero_state<B>(Shape<2>{batch, capacity}), zero_state<Reference, long>(Shape<1>{batch}),
          zero_state<Reference, long>(Shape<1>{batch}), std::move(streams)};
}

/// The next samples of each stream, any number of them -> the frames that they complete, bit for bit those of the whole
/// signal; lengths count them where streams differ (an encoder takes a stream with fewer frames than others for one
/// that ends: give it streams that began at the same time). A stream of which the chunk holds fewer than `whole`
/// samples ends there, and gives all that are left. Throws ShapeError for a batch that does not fit, StateError for
/// samples of a stream that has ended. Records nothing.
template <class B>
Sequence<B> stream_features(const char* op, const SpectralPlan<TableOf<typename B::Scalar>>& plan,
                            const Waveform<B>& chunk, long whole, FeatureStreamState<B>& state) {
  using S = typename B::Scalar;
  auto& ctx = chunk.context();
  const Streaming<B> streaming(ctx);
  const Waveform<B> x = chunk.with(rowwise(chunk.samples));
  const Sequence<B> counted = as_column(x);
  state.streams.check(op, counted, whole, 0);
  state.streams.count(counted);
  state.streams.end_short(counted, whole);

  const SpectralConfig& c = plan.config();
  const long batch = x.batch(), needed = c.pad_left + (c.edge == Edge::reflect ? 1 : 0);
  const auto row = [&](long n) {
    return kernel::StreamedSamples<S>{state.samples.tensor().in().row(n), state.held.tensor().data()[n],
                                      x.time() > 0 ? x.samples.in().row(n) : nullptr, x.length(n),
                                      state.streams.processed(n)};
  };
  const Lengths frames = ctx.empty_lengths(batch);
  long longest = 0;
  for (long n = 0; n < batch; ++n) {
    const long total = state.streams.processed(n), given = state.given.tensor().data()[n];
    long& count = frames.data()[n];
    count = plan.frames(total);
    if (state.streams.open(n)) {
      const long reached = total + c.pad_left - plan.extent();
      count = total < needed || reached < 0 ? 0 : std::min(count, 1 + reached / c.hop);
    }
    count = std::max(0L, count - given);
    longest = std::max(longest, count);
  }

  auto y = ctx.empty(Shape<3>{batch, longest, plan.columns()});
  if (longest > 0) {
    const long width = (longest - 1) * c.hop + plan.extent();
    const auto windows = ctx.zeros(Shape<2>{batch, width});
    for (long n = 0; n < batch; ++n)
      if (const long count = frames.data()[n]; count > 0)
        kernel::streamed_window(ctx.backend(), row(n), c.pad_left, c.pad_right, c.edge, state.streams.open(n),
                                state.given.tensor().data()[n] * c.hop,
                                View<S, 1>(windows.out().row(n), {(count - 1) * c.hop + plan.extent()}));
    const auto scratch = ctx.empty(Shape<1>{kernel::spectral_scratch(ctx.backend(), plan.tables())});
    kernel::analysis_forward(ctx.backend(), plan.tables(), windows.in(), frames.data(), y.out(), scratch.data());
  }
  for (long n = 0; n < batch; ++n) {
    long& given = state.given.tensor().data()[n];
    given += frames.data()[n];
    const auto samples = row(n);
    const long unread = samples.total + c.pad_left - given * c.hop;
    const long keep =
        state.streams.open(n) ? std::min(std::max(unread, c.pad_right + 1), samples.held + samples.fresh) : 0;
    kernel::keep_samples(ctx.backend(), samples, keep, state.samples.tensor().out().row(n));
    state.held.tensor().data()[n] = keep;
  }
  const bool padded = std::any_of(frames.data(), frames.data() + batch, [=](long count) { return count < longest; });
  return {ctx.constant(std::move(y)), padded ? frames : Lengths(), chunk.rate / static_cast<double>(c.hop)};
}

}  // namespace phonaut
