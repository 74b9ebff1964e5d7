#include "elementwise.cuh"
#include "phonaut/ops/conv1d_products.hpp"
#include "phonaut/ops/conv2d.hpp"

namespace phonaut::kernel {

void conv_gather(const Cuda& cuda, View<const float, 3> x, const long* lengths, long before, View<float, 4> y) {
  const long batch = y.shape[1], frames = y.shape[2], width = y.shape[3];
  const cuda::Brought<long> brought(cuda, lengths, batch);
  const long* real = brought.data();
  cuda::for_each_at(cuda, "conv1d", y.shape[0] * batch * frames, width, [=] __device__(long row, long c) {
    const long g = row / frames / batch, n = row / frames % batch, at = row % frames, t = at - before;
    const bool there = t >= 0 && t < (real ? real[n] : x.shape[1]);
    y.data[g * y.stride[0] + n * y.stride[1] + at * width + c] = there ? x(n, t, g * width + c) : 0.f;
  });
}
void conv_scatter(const Cuda& cuda, View<const float, 4> x, const float* bias, const long* lengths, long before,
                  Sink<float, 3> y) {
  const long time = y.shape[1], channels = y.shape[2], width = x.shape[3];
  const cuda::Brought<long> brought(cuda, lengths, y.shape[0]);
  const long* real = brought.data();
  cuda::for_each_at(cuda, "conv1d", y.shape[0] * time, channels, [=] __device__(long row, long c) {
    const long n = row / time, t = row % time, g = c / width;
    const bool there = !real || t < real[n];
    const float value = there ? x(g, n, t + before, c - g * width) + (bias ? bias[c] : 0.f) : 0.f;
    cuda::put(y(n, t, c), value, y.add);
  });
}

void gather_patches(const Cuda& cuda, View<const float, 3> x, const PatchGeometry& geometry, long first, long times,
                    View<float, 2> patches) {
  const PatchGeometry g = geometry;
  const long channels = x.shape[2], run = g.kernel.frequency * channels;
  cuda::for_each_at(cuda, "conv2d", times * g.frequencies, g.kernel.time * run, [=] __device__(long row, long at) {
    const long t = row / g.frequencies, f = row % g.frequencies, i = at / run, j = at % run / channels;
    const long from_t = (first + t) * g.stride.time + i * g.dilation - g.padding.time;
    const long from_f = f * g.stride.frequency + j - g.padding.frequency;
    const bool inside = from_t >= 0 && from_t < x.shape[0] && from_f >= 0 && from_f < x.shape[1];
    patches.row(row)[at] = inside ? x(from_t, from_f, at % channels) : 0.f;
  });
}
void scatter_patches(const Cuda& cuda, View<const float, 2> patches, const PatchGeometry& geometry, long first,
                     long times, View<float, 3> dx) {
  const PatchGeometry g = geometry;
  const long channels = dx.shape[2], bands = dx.shape[1], run = g.kernel.frequency * channels;
  // Each element of the image adds up the places that saw it, in their order.
  cuda::for_each_at(cuda, "conv2d", dx.shape[0] * bands, channels, [=] __device__(long row, long c) {
    const long to_t = row / bands, to_f = row % bands;
    float total = 0;
    for (long i = 0; i < g.kernel.time; ++i) {
      const long at_t = to_t + g.padding.time - i * g.dilation - first * g.stride.time;
      if (at_t < 0 || at_t % g.stride.time != 0 || at_t / g.stride.time >= times) continue;
      for (long j = 0; j < g.kernel.frequency; ++j) {
        const long at_f = to_f + g.padding.frequency - j;
        if (at_f < 0 || at_f % g.stride.frequency != 0 || at_f / g.stride.frequency >= g.frequencies) continue;
        const long place = at_t / g.stride.time * g.frequencies + at_f / g.stride.frequency;
        total += patches.row(place)[i * run + j * channels + c];
      }
    }
    dx(to_t, to_f, c) += total;
  });
}

}  // namespace phonaut::kernel
