#include "phonaut/ops/frame_rate.hpp"

#include "elementwise.cuh"
#include "phonaut/ops/weighted_downsample.hpp"
#include "reduce.cuh"

namespace phonaut::kernel {

void average_frames_forward(const Cuda& cuda, View<const float, 3> x, const long* lengths, long group,
                            View<float, 3> y) {
  const long steps = y.shape[1];
  const cuda::Brought<long> brought(cuda, lengths, y.shape[0]);
  const long* real = brought.data();
  cuda::for_each_at(cuda, "average_frames", y.shape[0] * steps, x.shape[2], [=] __device__(long row, long c) {
    const long n = row / steps, j = row % steps, time = real ? real[n] : x.shape[1], first = j * group;
    const long count = time - first < group ? time - first : group;
    float total = 0;
    for (long t = first; t < first + count; ++t) total += x(n, t, c);
    y(n, j, c) = count > 1 ? total / static_cast<float>(count) : total;
  });
}
void average_frames_backward(const Cuda& cuda, View<const float, 3> dy, const long* lengths, long group,
                             Sink<float, 3> dx) {
  const long frames = dx.shape[1];
  const cuda::Brought<long> brought(cuda, lengths, dx.shape[0]);
  const long* real = brought.data();
  cuda::for_each_at(cuda, "average_frames", dx.shape[0] * frames, dx.shape[2], [=] __device__(long row, long c) {
    const long n = row / frames, t = row % frames, time = real ? real[n] : frames, left = time - t / group * group;
    const float share = t < time ? 1.f / static_cast<float>(left < group ? left : group) : 0.f;
    cuda::put(dx(n, t, c), t < time ? share * dy(n, t / group, c) : 0.f, dx.add);
  });
}
void repeat_frames_forward(const Cuda& cuda, View<const float, 3> x, long times, View<float, 3> y) {
  const long frames = y.shape[1];
  cuda::for_each_at(cuda, "repeat_frames", y.shape[0] * frames, x.shape[2], [=] __device__(long row, long c) {
    y(row / frames, row % frames, c) = x(row / frames, row % frames / times, c);
  });
}
void repeat_frames_backward(const Cuda& cuda, View<const float, 3> dy, long times, Sink<float, 3> dx) {
  const long frames = dx.shape[1];
  cuda::for_each_at(cuda, "repeat_frames", dx.shape[0] * frames, dx.shape[2], [=] __device__(long row, long c) {
    const long n = row / frames, first = row % frames * times;
    float total = 0;
    for (long t = first; t < first + times && t < dy.shape[1]; ++t) total += dy(n, t, c);
    cuda::put(dx(n, row % frames, c), total, dx.add);
  });
}

namespace {

/// softmax(bias), once for all frames.
void weights_of(const Cuda& cuda, const float* bias, long group, float* w) {
  cuda::for_each(cuda, "weighted_downsample", 1, [=] __device__(long) { group_weights(bias, group, w); });
}

}  // namespace

void weighted_downsample_forward(const Cuda& cuda, View<const float, 3> x, const float* bias, long group,
                                 const long* lengths, View<float, 3> y) {
  const long steps = y.shape[1];
  const cuda::Brought<long> brought(cuda, lengths, y.shape[0]);
  const long* real = brought.data();
  const cuda::Scratch<float> scratch(cuda, group);
  float* const w = scratch.data();
  weights_of(cuda, bias, group, w);
  cuda::for_each_at(cuda, "weighted_downsample", y.shape[0] * steps, y.shape[2], [=] __device__(long row, long c) {
    const long n = row / steps, first = row % steps * group, time = real ? real[n] : x.shape[1];
    float total = 0;
    for (long k = 0; first < time && k < group; ++k) total += w[k] * x(n, first + k < time ? first + k : time - 1, c);
    y(n, row % steps, c) = total;
  });
}
void weighted_downsample_backward(const Cuda& cuda, View<const float, 3> dy, View<const float, 3> x, const float* bias,
                                  long group, const long* lengths, Sink<float, 3> dx, Sink<float, 1> dbias,
                                  View<float, 2>) {
  const long batch = x.shape[0], frames = x.shape[1], channels = x.shape[2], steps = dy.shape[1];
  const cuda::Brought<long> brought(cuda, lengths, batch);
  const long* real = brought.data();
  const cuda::Scratch<float> scratch(cuda, group);
  float* const w = scratch.data();
  weights_of(cuda, bias, group, w);
  if (dx)
    cuda::for_each_at(cuda, "weighted_downsample", batch * frames, channels, [=] __device__(long row, long c) {
      const long n = row / frames, t = row % frames, time = real ? real[n] : frames, j = t / group;
      float weight = 0;
      // The last real frame stands for those that its group lacks.
      const long last = t == time - 1 ? group - 1 : t - j * group;
      for (long k = t - j * group; t < time && k <= last; ++k) weight += w[k];
      cuda::put(dx(n, t, c), t < time ? weight * dy(n, j, c) : 0.f, dx.add);
    });
  if (!dbias) return;
  const cuda::Scratch<double> products(cuda, batch * steps * group), sums(cuda, group);
  double *const dot = products.data(), *const q = sums.data();
  cuda::for_each_row(cuda, "weighted_downsample", batch * steps * group, channels,
                     [=] __device__(const cuda::Team& team, long row) {
                       const long k = row % group, j = row / group % steps, n = row / group / steps;
                       const long time = real ? real[n] : frames, t = j * group + k < time ? j * group + k : time - 1;
                       double total = 0;
                       if (j * group < time)
                         for (long c = team.rank; c < channels; c += team.size)
                           total += static_cast<double>(dy(n, j, c)) * static_cast<double>(x(n, t, c));
                       total = team.sum(total);
                       if (team.rank == 0) dot[row] = total;
                     });
  cuda::reduce_columns<1>(
      cuda, "weighted_downsample", batch * steps, group,
      [=] __device__(long row, long k) { return cuda::Sums<1>{{dot[row * group + k]}}; },
      [=] __device__(long k, const cuda::Sums<1>& total) { q[k] = total.of[0]; });
  cuda::for_each(cuda, "weighted_downsample", group, [=] __device__(long k) {
    double mean = 0;
    for (long m = 0; m < group; ++m) mean += static_cast<double>(w[m]) * q[m];
    cuda::put(dbias.data[k], static_cast<float>(static_cast<double>(w[k]) * (q[k] - mean)), dbias.add);
  });
}

}  // namespace phonaut::kernel
