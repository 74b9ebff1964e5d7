#include "phonaut/ops/depthwise_conv1d.hpp"

#include "elementwise.cuh"
#include "reduce.cuh"

namespace phonaut::kernel {

namespace {

/// Frames that one thread computes: each tap is loaded once for all of them, and each input frame once for all taps.
constexpr int kFrames = 8;

/// Σ_k w[c, k] x[n, t + k - before, c], with the taps in the other order where `flipped`. Neighbouring threads have
/// neighbouring channels.
__global__ void slide_kernel(View<const float, 3> x, View<const float, 2> w, const float* bias, long before,
                             bool flipped, View<float, 3> y, bool add) {
  const long time = x.shape[1], channels = x.shape[2], taps = w.shape[1], stretches = (time + kFrames - 1) / kFrames;
  const long all = x.shape[0] * stretches * channels;
  for (long i = static_cast<long>(blockIdx.x) * blockDim.x + threadIdx.x; i < all;
       i += static_cast<long>(gridDim.x) * blockDim.x) {
    const long c = i % channels, n = i / channels / stretches, t = i / channels % stretches * kFrames;
    const float* from = x.data + n * x.stride[0] + c;
    const auto at = [&](long s) { return s >= 0 && s < time ? from[s * x.stride[1]] : 0.f; };
    float sum[kFrames], window[kFrames];
    for (int j = 0; j < kFrames; ++j) {
      sum[j] = bias ? bias[c] : 0.f;
      window[j] = at(t + j - before);
    }
    for (long k = 0; k < taps; ++k) {
      const float tap = w.row(c)[flipped ? taps - 1 - k : k];
      for (int j = 0; j < kFrames; ++j) sum[j] += tap * window[j];
      for (int j = 0; j + 1 < kFrames; ++j) window[j] = window[j + 1];
      window[kFrames - 1] = at(t + kFrames + k - before);
    }
    for (int j = 0; j < kFrames && t + j < time; ++j) cuda::put(y(n, t + j, c), sum[j], add);
  }
}

void slide(const Cuda& cuda, View<const float, 3> x, View<const float, 2> w, const float* bias, long before,
           bool flipped, View<float, 3> y, bool add) {
  const long all = x.shape[0] * ((x.shape[1] + kFrames - 1) / kFrames) * x.shape[2];
  if (all > 0)
    cuda::launch(cuda, "depthwise_conv1d", cuda::Grid{cuda::blocks_for(all, 128), 128}, slide_kernel, x, w, bias,
                 before, flipped, y, add);
}

}  // namespace

void depthwise_conv1d_forward(const Cuda& cuda, View<const float, 3> x, View<const float, 2> w, const float* bias,
                              long before, View<float, 3> y) {
  slide(cuda, x, w, bias, before, false, y, false);
}

void depthwise_conv1d_backward(const Cuda& cuda, View<const float, 3> dy, View<const float, 3> x,
                               View<const float, 2> w, long before, Sink<float, 3> dx, Sink<float, 2> dw,
                               Sink<float, 1> dbias) {
  const long batch = x.shape[0], time = x.shape[1], channels = x.shape[2], taps = w.shape[1];
  if (dx) slide(cuda, dy, w, nullptr, taps - 1 - before, true, dx, dx.add);
  if (dw)  // the taps of a channel are columns, channels side by side
    cuda::reduce_columns<1>(
        cuda, "depthwise_conv1d", batch * time, taps * channels,
        [=] __device__(long row, long column) {
          const long n = row / time, t = row % time, c = column % channels, s = t + column / channels - before;
          const float g = s >= 0 && s < time ? dy(n, t, c) * x(n, s, c) : 0.f;
          return cuda::Sums<1>{{static_cast<double>(g)}};
        },
        [=] __device__(long column, const cuda::Sums<1>& total) {
          cuda::put(dw.row(column % channels)[column / channels], static_cast<float>(total.of[0]), dw.add);
        });
  if (dbias)
    cuda::reduce_columns<1>(
        cuda, "depthwise_conv1d", batch * time, channels,
        [=] __device__(long row, long c) {
          return cuda::Sums<1>{{static_cast<double>(dy(row / time, row % time, c))}};
        },
        [=] __device__(long c, const cuda::Sums<1>& total) {
          cuda::put(dbias.data[c], static_cast<float>(total.of[0]), dbias.add);
        });
}

}  // namespace phonaut::kernel
