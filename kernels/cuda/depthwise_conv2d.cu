#include "phonaut/ops/depthwise_conv2d.hpp"

#include "elementwise.cuh"
#include "reduce.cuh"

namespace phonaut::kernel {

void depthwise_conv2d_forward(const Cuda& cuda, const DepthwiseImage& image, View<const float, 4> x,
                              View<const float, 2> w, const float* bias, View<float, 4> y) {
  const long time = x.shape[1], bands = x.shape[2], channels = x.shape[3], times = y.shape[1];
  const cuda::Brought<long> lengths(cuda, image.lengths, x.shape[0]);
  DepthwiseImage g = image;
  g.lengths = lengths.data();
  cuda::for_each_at(cuda, "depthwise_conv2d", x.shape[0] * times * bands, channels, [=] __device__(long row, long c) {
    const long n = row / bands / times, t = row / bands % times, f = row % bands, half = g.kernel_frequency / 2;
    const long real = g.frames(n, time);
    float total = bias ? bias[c] : 0.f;
    for (long i = 0; i < g.kernel_time; ++i) {
      const long s = t + i - g.before;
      if (s < 0 || s >= real) continue;
      for (long j = f < half ? half - f : 0; j < g.kernel_frequency && f + j - half < bands; ++j)
        total += w(c, i * g.kernel_frequency + j) * x(n, s, f + j - half, c);
    }
    y(n, t, f, c) = total;
  });
}

void depthwise_conv2d_backward(const Cuda& cuda, const DepthwiseImage& image, View<const float, 4> dy,
                               View<const float, 4> x, View<const float, 2> w, Sink<float, 4> dx, Sink<float, 2> dw,
                               Sink<float, 1> dbias) {
  const long batch = x.shape[0], time = x.shape[1], bands = x.shape[2], channels = x.shape[3], times = dy.shape[1];
  const cuda::Brought<long> lengths(cuda, image.lengths, batch);
  DepthwiseImage g = image;
  g.lengths = lengths.data();
  if (dx)
    cuda::for_each_at(cuda, "depthwise_conv2d", batch * time * bands, channels, [=] __device__(long row, long c) {
      const long n = row / bands / time, t = row / bands % time, f = row % bands, half = g.kernel_frequency / 2;
      float total = 0;
      for (long i = 0; t < g.frames(n, time) && i < g.kernel_time; ++i) {
        const long s = t - i + g.before;
        if (s < 0 || s >= times) continue;
        for (long j = 0; j < g.kernel_frequency; ++j) {
          const long from = f - j + half;
          if (from >= 0 && from < bands) total += w(c, i * g.kernel_frequency + j) * dy(n, s, from, c);
        }
      }
      cuda::put(dx(n, t, f, c), total, dx.add);
    });
  if (dw)  // the taps of a channel are columns, channels side by side
    cuda::reduce_columns<1>(
        cuda, "depthwise_conv2d", batch * times * bands, g.kernel_time * g.kernel_frequency * channels,
        [=] __device__(long row, long column) {
          const long n = row / bands / times, t = row / bands % times, f = row % bands, c = column % channels;
          const long tap = column / channels, s = t + tap / g.kernel_frequency - g.before;
          const long from = f + tap % g.kernel_frequency - g.kernel_frequency / 2;
          const bool seen = s >= 0 && s < g.frames(n, time) && from >= 0 && from < bands;
          return cuda::Sums<1>{{seen ? static_cast<double>(dy(n, t, f, c) * x(n, s, from, c)) : 0.0}};
        },
        [=] __device__(long column, const cuda::Sums<1>& total) {
          cuda::put(dw.row(column % channels)[column / channels], static_cast<float>(total.of[0]), dw.add);
        });
  if (dbias)
    cuda::reduce_columns<1>(
        cuda, "depthwise_conv2d", batch * times * bands, channels,
        [=] __device__(long row, long c) {
          return cuda::Sums<1>{{static_cast<double>(dy(row / bands / times, row / bands % times, row % bands, c))}};
        },
        [=] __device__(long c, const cuda::Sums<1>& total) {
          cuda::put(dbias.data[c], static_cast<float>(total.of[0]), dbias.add);
        });
}

}  // namespace phonaut::kernel
