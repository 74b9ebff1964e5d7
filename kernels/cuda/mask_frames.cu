#include "phonaut/ops/mask_frames.hpp"

#include "elementwise.cuh"
#include "phonaut/ops/mask_bands.hpp"
#include "reduce.cuh"

namespace phonaut::kernel {

void mask_frames(const Cuda& cuda, View<const float, 3> x, const long* lengths, float value, View<float, 3> y) {
  const long time = x.shape[1];
  const cuda::Brought<long> brought(cuda, lengths, x.shape[0]);
  const long* real = brought.data();
  cuda::for_each_at(cuda, "mask_frames", x.shape[0] * time, x.shape[2], [=] __device__(long row, long c) {
    const long n = row / time, t = row % time;
    y(n, t, c) = t < real[n] ? x(n, t, c) : value;
  });
}
void mask_frames_backward(const Cuda& cuda, View<const float, 3> dy, const long* lengths, Sink<float, 3> dx) {
  const long time = dx.shape[1];
  const cuda::Brought<long> brought(cuda, lengths, dx.shape[0]);
  const long* real = brought.data();
  cuda::for_each_at(cuda, "mask_frames", dx.shape[0] * time, dx.shape[2], [=] __device__(long row, long c) {
    const long n = row / time, t = row % time;
    cuda::put(dx(n, t, c), t < real[n] ? dy(n, t, c) : 0.f, dx.add);
  });
}

void mean_over_time_forward(const Cuda& cuda, View<const float, 3> x, const long* lengths, View<float, 2> y) {
  const long time = x.shape[1], channels = x.shape[2];
  const cuda::Brought<long> brought(cuda, lengths, x.shape[0]);
  const long* real = brought.data();
  // The channels of all utterances are columns side by side.
  cuda::reduce_columns<1>(
      cuda, "mean_over_time", time, x.shape[0] * channels,
      [=] __device__(long t, long column) {
        const long n = column / channels;
        return cuda::Sums<1>{{real && t >= real[n] ? 0.0 : static_cast<double>(x(n, t, column % channels))}};
      },
      [=] __device__(long column, const cuda::Sums<1>& total) {
        const long n = column / channels, frames = real ? real[n] : time;
        y(n, column % channels) = frames > 0 ? static_cast<float>(total.of[0] / static_cast<double>(frames)) : 0.f;
      });
}
void mean_over_time_backward(const Cuda& cuda, View<const float, 2> dy, const long* lengths, Sink<float, 3> dx) {
  const long time = dx.shape[1];
  const cuda::Brought<long> brought(cuda, lengths, dx.shape[0]);
  const long* real = brought.data();
  cuda::for_each_at(cuda, "mean_over_time", dx.shape[0] * time, dx.shape[2], [=] __device__(long row, long c) {
    const long n = row / time, t = row % time, frames = real ? real[n] : time;
    cuda::put(dx(n, t, c), t < frames ? dy(n, c) * static_cast<float>(1.0 / static_cast<double>(frames)) : 0.f, dx.add);
  });
}

void mask_bands_forward(const Cuda& cuda, View<const float, 3> x, const long* lengths, View<const float, 2> frame,
                        View<const float, 2> channel, View<const float, 1> value, View<float, 3> y) {
  const long time = x.shape[1];
  const cuda::Brought<long> brought(cuda, lengths, x.shape[0]);
  const long* real = brought.data();
  cuda::for_each_at(cuda, "mask_bands", x.shape[0] * time, x.shape[2], [=] __device__(long row, long c) {
    const long n = row / time, t = row % time;
    const bool hidden = t < (real ? real[n] : time) && (frame(n, t) != 0 || channel(n, c) != 0);
    y(n, t, c) = hidden ? value.data[n] : x(n, t, c);
  });
}
void mask_bands_backward(const Cuda& cuda, View<const float, 3> dy, const long* lengths, View<const float, 2> frame,
                         View<const float, 2> channel, Sink<float, 3> dx, Sink<float, 1> dvalue) {
  const long batch = dy.shape[0], time = dy.shape[1], channels = dy.shape[2];
  const cuda::Brought<long> brought(cuda, lengths, batch);
  const long* real = brought.data();
  const auto hidden = [=] __device__(long n, long t, long c) {
    return t < (real ? real[n] : time) && (frame(n, t) != 0 || channel(n, c) != 0);
  };
  if (dx)
    cuda::for_each_at(cuda, "mask_bands", batch * time, channels, [=] __device__(long row, long c) {
      const long n = row / time, t = row % time;
      cuda::put(dx(n, t, c), hidden(n, t, c) ? 0.f : dy(n, t, c), dx.add);
    });
  if (dvalue)
    cuda::for_each_row(cuda, "mask_bands", batch, time * channels, [=] __device__(const cuda::Team& team, long n) {
      double total = 0;
      for (long i = team.rank; i < time * channels; i += team.size)
        if (hidden(n, i / channels, i % channels)) total += static_cast<double>(dy(n, i / channels, i % channels));
      total = team.sum(total);
      if (team.rank == 0) cuda::put(dvalue.data[n], static_cast<float>(total), dvalue.add);
    });
}

}  // namespace phonaut::kernel
