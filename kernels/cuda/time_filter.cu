#include "phonaut/ops/time_filter.hpp"

#include "elementwise.cuh"
#include "phonaut/ops/floor_below_peak.hpp"
#include "reduce.cuh"

namespace phonaut::kernel {

void time_filter_forward(const Cuda& cuda, View<const float, 3> x, const long* lengths, const double* taps, long reach,
                         View<float, 3> y) {
  const long time = x.shape[1];
  const cuda::Brought<long> brought(cuda, lengths, x.shape[0]);
  const cuda::Brought<double> filter(cuda, taps, 2 * reach + 1);
  const long* real = brought.data();
  const double* tap = filter.data();
  cuda::for_each_at(cuda, "time_filter", x.shape[0] * time, x.shape[2], [=] __device__(long row, long c) {
    const long n = row / time, t = row % time, frames = real ? real[n] : time;
    float total = 0;
    for (long j = -reach; j <= reach && t < frames; ++j) {
      const long s = t + j < 0 ? 0 : t + j < frames ? t + j : frames - 1;
      total += static_cast<float>(tap[j + reach]) * x(n, s, c);
    }
    y(n, t, c) = total;
  });
}
void time_filter_backward(const Cuda& cuda, View<const float, 3> dy, const long* lengths, const double* taps,
                          long reach, Sink<float, 3> dx) {
  const long time = dy.shape[1];
  const cuda::Brought<long> brought(cuda, lengths, dy.shape[0]);
  const cuda::Brought<double> filter(cuda, taps, 2 * reach + 1);
  const long* real = brought.data();
  const double* tap = filter.data();
  cuda::for_each_at(cuda, "time_filter", dy.shape[0] * time, dy.shape[2], [=] __device__(long row, long c) {
    const long n = row / time, s = row % time, frames = real ? real[n] : time;
    float total = 0;
    const long first = s < reach ? 0 : s - reach, last = s + reach < frames ? s + reach : frames - 1;
    for (long t = first; t <= last && s < frames; ++t) {
      // Frame t reads s through tap s - t; the first and the last frame stand for all beyond them as well.
      const long lowest = s == 0 ? -reach : s - t, highest = s == frames - 1 ? reach : s - t;
      for (long j = lowest; j <= highest; ++j) total += static_cast<float>(tap[j + reach]) * dy(n, t, c);
    }
    cuda::put(dx(n, s, c), total, dx.add);
  });
}

namespace {

/// The largest of n > 0 numbers, and where the first of its kind is.
struct Peak {
  float value;
  long at;
};
struct HigherPeak {
  __device__ __forceinline__ Peak operator()(const Peak& a, const Peak& b) const {
    if (a.value < b.value) return b;
    if (b.value < a.value) return a;
    return a.at < b.at ? a : b;
  }
};
__device__ __forceinline__ Peak peak_of(const cuda::Team& team, const float* x, long n) {
  Peak best{x[0], 0};
  for (long i = team.rank; i < n; i += team.size)
    if (best.value < x[i]) best = {x[i], i};
  return team.reduce(best, HigherPeak{});
}

}  // namespace

void floor_below_peak_forward(const Cuda& cuda, View<const float, 3> x, const long* lengths, float drop, float shift,
                              float scale, View<float, 3> y) {
  const long all = x.shape[1] * x.shape[2], channels = x.shape[2];
  const cuda::Brought<long> brought(cuda, lengths, x.shape[0]);
  const long* frames = brought.data();
  cuda::for_each_row(cuda, "floor_below_peak", x.shape[0], all, [=] __device__(const cuda::Team& team, long n) {
    const long real = frames ? frames[n] * channels : all;
    const float* from = x.data + n * all;
    float* to = y.data + n * all;
    const float least = real > 0 ? peak_of(team, from, real).value - drop : 0.f;
    for (long i = team.rank; i < all; i += team.size)
      to[i] = i < real ? ((from[i] < least ? least : from[i]) + shift) * scale : 0.f;
  });
}
void floor_below_peak_backward(const Cuda& cuda, View<const float, 3> dy, View<const float, 3> x, const long* lengths,
                               float drop, float scale, Sink<float, 3> dx) {
  const long all = x.shape[1] * x.shape[2], channels = x.shape[2];
  const cuda::Brought<long> brought(cuda, lengths, x.shape[0]);
  const long* frames = brought.data();
  cuda::for_each_row(cuda, "floor_below_peak", x.shape[0], all, [=] __device__(const cuda::Team& team, long n) {
    const long real = frames ? frames[n] * channels : all;
    const float *from = x.data + n * all, *dfrom = dy.data + n * all;
    float* to = dx.data + n * all;
    const Peak peak = real > 0 ? peak_of(team, from, real) : Peak{0, -1};
    const auto kept = [&](long i) { return from[i] >= peak.value - drop; };
    double floored = 0;
    for (long i = team.rank; i < real; i += team.size)
      if (!kept(i)) floored += static_cast<double>(dfrom[i] * scale);
    const auto extra = static_cast<float>(team.sum(floored));
    for (long i = team.rank; i < all; i += team.size) {
      const float g = i < real && kept(i) ? dfrom[i] * scale : 0.f;
      cuda::put(to[i], i == peak.at ? g + extra : g, dx.add);
    }
  });
}

}  // namespace phonaut::kernel
