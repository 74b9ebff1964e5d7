#pragma once
// A fixed filter over time, the same for every channel; frames beyond an utterance's ends repeat the first and last
// one.
#include <vector>

#include "phonaut/core/sequence.hpp"
#include "phonaut/ops/shape.hpp"

namespace phonaut {

namespace kernel {

/// y_t = Σ_j taps[j + reach] x_{clamp(t + j)}, |j| <= reach; 0 behind the last real frame.
template <class S>
void time_filter_forward(const Reference&, View<const S, 3> x, const long* lengths, const double* taps, long reach,
                         View<S, 3> y) {
  const long time = x.shape[1], channels = x.shape[2];
  for (long n = 0; n < x.shape[0]; ++n) {
    const long real = lengths ? lengths[n] : time;
    for (long t = 0; t < time; ++t) {
      S* const to = y.data + (n * time + t) * channels;
      std::fill(to, to + channels, S(0));
      for (long j = -reach; j <= reach && t < real; ++j) {
        const S tap(static_cast<S>(taps[j + reach]));
        const S* const from = x.data + (n * time + std::clamp(t + j, 0L, real - 1)) * channels;
        for (long c = 0; c < channels; ++c) to[c] += tap * from[c];
      }
    }
  }
}
template <class S>
void time_filter_backward(const Reference&, View<const S, 3> dy, const long* lengths, const double* taps, long reach,
                          Sink<S, 3> dx) {
  const long time = dy.shape[1], channels = dy.shape[2];
  if (!dx.add) std::fill(dx.data, dx.data + dx.size(), S(0));
  for (long n = 0; n < dy.shape[0]; ++n) {
    const long real = lengths ? lengths[n] : time;
    for (long t = 0; t < real; ++t)
      for (long j = -reach; j <= reach; ++j) {
        const S tap(static_cast<S>(taps[j + reach]));
        const S* const from = dy.data + (n * time + t) * channels;
        S* const to = dx.data + (n * time + std::clamp(t + j, 0L, real - 1)) * channels;
        for (long c = 0; c < channels; ++c) to[c] += tap * from[c];
      }
  }
}

void time_filter_forward(const Cuda& cuda, View<const float, 3> x, const long* lengths, const double* taps, long reach,
                         View<float, 3> y);
void time_filter_backward(const Cuda& cuda, View<const float, 3> dy, const long* lengths, const double* taps,
                          long reach, Sink<float, 3> dx);

}  // namespace kernel

/// Correlates each channel of x with `taps` (an odd number of them, the middle one at the frame itself). Throws
/// ConfigError for an even number.
template <class B>
Sequence<B> time_filter(const Sequence<B>& any, std::vector<double> taps) {
  check_lengths("time_filter", any);
  if (taps.size() % 2 == 0) throw ConfigError(concat("time_filter: the number of taps must be odd, got ", taps.size()));
  const Sequence<B> x = any.with(packed(any.frames));
  auto& ctx = x.context();
  auto y = ctx.empty(x.frames.shape());
  const long reach = static_cast<long>(taps.size() / 2);
  kernel::time_filter_forward(ctx.backend(), x.frames.in(), x.length_data(), taps.data(), reach, y.out());
  return x.with(record(
      std::move(y),
      [x, reach, taps = std::move(taps)](Context<B>& c, const Tensor<B, 3>& dy) {
        if (auto dx = c.sink(x.frames))
          kernel::time_filter_backward(c.backend(), dy.in(), x.length_data(), taps.data(), reach, dx);
      },
      x.frames));
}

}  // namespace phonaut
