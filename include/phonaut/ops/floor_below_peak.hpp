#pragma once
// A dynamic range: everything that lies far below an utterance's own peak becomes a floor (Whisper's log-mel).
#include "phonaut/core/math.hpp"
#include "phonaut/core/sequence.hpp"
#include "phonaut/ops/shape.hpp"

namespace phonaut {

namespace kernel {

/// y = (max(x, peak - drop) + shift) · scale over the first lengths[n] frames of each utterance, 0 behind them.
template <class S>
void floor_below_peak_forward(const Reference&, View<const S, 3> x, const long* lengths, S drop, S shift, S scale,
                              View<S, 3> y) {
  using math::max;
  for (long n = 0; n < x.shape[0]; ++n) {
    const long real = (lengths ? lengths[n] : x.shape[1]) * x.shape[2], all = x.shape[1] * x.shape[2];
    const S* const from = x.data + n * all;
    S* const to = y.data + n * all;
    if (real > 0) {
      S peak = from[0];
      for (long i = 1; i < real; ++i) peak = max(peak, from[i]);
      for (long i = 0; i < real; ++i) to[i] = (max(from[i], peak - drop) + shift) * scale;
    }
    for (long i = real; i < all; ++i) to[i] = S(0);
  }
}
/// What was floored hands its gradient to the (first) peak.
template <class S>
void floor_below_peak_backward(const Reference&, View<const S, 3> dy, View<const S, 3> x, const long* lengths, S drop,
                               S scale, Sink<S, 3> dx) {
  for (long n = 0; n < x.shape[0]; ++n) {
    const long real = (lengths ? lengths[n] : x.shape[1]) * x.shape[2], all = x.shape[1] * x.shape[2];
    const S *const from = x.data + n * all, *const dfrom = dy.data + n * all;
    S* const to = dx.data + n * all;
    long peak = 0;
    for (long i = 1; i < real; ++i)
      if (from[peak] < from[i]) peak = i;
    S floored(0);
    for (long i = 0; i < real; ++i) {
      const bool kept = from[i] >= from[peak] - drop;
      const S g = kept ? dfrom[i] * scale : S(0);
      if (!kept) floored += dfrom[i] * scale;
      to[i] = dx.add ? to[i] + g : g;
    }
    if (!dx.add)
      for (long i = real; i < all; ++i) to[i] = S(0);
    if (real > 0) to[peak] += floored;
  }
}

void floor_below_peak_forward(const Cuda& cuda, View<const float, 3> x, const long* lengths, float drop, float shift,
                              float scale, View<float, 3> y);
void floor_below_peak_backward(const Cuda& cuda, View<const float, 3> dy, View<const float, 3> x, const long* lengths,
                               float drop, float scale, Sink<float, 3> dx);

}  // namespace kernel

/// (max(x, peak - drop) + shift) · scale, where the peak is that of the utterance's own frames.
template <class B>
Sequence<B> floor_below_peak(const Sequence<B>& any, double drop, double shift = 0, double scale = 1) {
  using S = typename B::Scalar;
  check_lengths("floor_below_peak", any);
  const Sequence<B> x = any.with(packed(any.frames));
  auto& ctx = x.context();
  auto y = ctx.empty(x.frames.shape());
  kernel::floor_below_peak_forward(ctx.backend(), x.frames.in(), x.length_data(), S(drop), S(shift), S(scale), y.out());
  return x.with(record(
      std::move(y),
      [=](Context<B>& c, const Tensor<B, 3>& dy) {
        if (auto dx = c.sink(x.frames))
          kernel::floor_below_peak_backward(c.backend(), dy.in(), x.frames.in(), x.length_data(), S(drop), S(scale),
                                            dx);
      },
      x.frames));
}

}  // namespace phonaut
