#include "phonaut/ops/group_norm.hpp"

#include "elementwise.cuh"
#include "reduce.cuh"

namespace phonaut::kernel {

namespace {

/// What each (utterance, channel) has summed up over its frames.
using ChannelSums = cuda::Sums<2>;

}  // namespace

void group_norm_forward(const Cuda& cuda, View<const float, 3> x, const long* lengths, long groups, const float* gain,
                        const float* bias, double epsilon, View<float, 3> y, View<float, 3> stats) {
  const long batch = x.shape[0], time = x.shape[1], channels = x.shape[2], width = channels / groups;
  const cuda::Brought<long> brought(cuda, lengths, batch);
  const long* real = brought.data();
  const cuda::Scratch<ChannelSums> scratch(cuda, batch * channels);
  ChannelSums* const sums = scratch.data();
  // Distances from the first element of the group, in double: a mean far from 0 does not drown the variance.
  const auto origin = [=] __device__(long n, long g) {
    return time > 0 ? static_cast<double>(x(n, 0, g * width)) : 0.0;
  };
  cuda::reduce_columns<2>(
      cuda, "group_norm", time, batch * channels,
      [=] __device__(long t, long column) {
        const long n = column / channels, c = column % channels;
        if (real && t >= real[n]) return ChannelSums{{0, 0}};
        const double d = static_cast<double>(x(n, t, c)) - origin(n, c / width);
        return ChannelSums{{d, d * d}};
      },
      [=] __device__(long column, const ChannelSums& total) { sums[column] = total; });
  cuda::for_each_row(cuda, "group_norm", batch * groups, width, [=] __device__(const cuda::Team& team, long row) {
    const long n = row / groups, g = row % groups;
    ChannelSums total{};
    for (long c = team.rank; c < width; c += team.size) total = total + sums[n * channels + g * width + c];
    total = team.sum(total);
    if (team.rank != 0) return;
    const auto count = static_cast<double>((real ? real[n] : time) * width);
    const double shift = count > 0 ? total.of[0] / count : 0, square = count > 0 ? total.of[1] / count : 0;
    const double variance = square - shift * shift;
    stats(n, g, 0) = static_cast<float>(count > 0 ? origin(n, g) + shift : 0);
    stats(n, g, 1) = static_cast<float>(1 / math::sqrt((variance > 0 ? variance : 0) + epsilon));
  });
  cuda::for_each_at(cuda, "group_norm", batch * time, channels, [=] __device__(long row, long c) {
    const long n = row / time, t = row % time, g = c / width;
    const float normed = (x(n, t, c) - stats(n, g, 0)) * stats(n, g, 1);
    y(n, t, c) = real && t >= real[n] ? 0.f : normed * (gain ? gain[c] : 1.f) + (bias ? bias[c] : 0.f);
  });
}

void group_norm_backward(const Cuda& cuda, View<const float, 3> dy, View<const float, 3> x, const long* lengths,
                         long groups, const float* gain, View<const float, 3> stats, Sink<float, 3> dx,
                         Sink<float, 1> dgain, Sink<float, 1> dbias, View<float, 2>) {
  const long batch = x.shape[0], time = x.shape[1], channels = x.shape[2], width = channels / groups;
  const cuda::Brought<long> brought(cuda, lengths, batch);
  const long* real = brought.data();
  const cuda::Scratch<ChannelSums> scratch(cuda, batch * channels), of_group(cuda, batch * groups);
  ChannelSums *const sums = scratch.data(), *const means = of_group.data();
  const auto normed = [=] __device__(long n, long t, long c) {
    return (x(n, t, c) - stats(n, c / width, 0)) * stats(n, c / width, 1);
  };
  // Σ dy and Σ dy z of every channel serve the weights and, with the gain, the group's means.
  cuda::reduce_columns<2>(
      cuda, "group_norm", time, batch * channels,
      [=] __device__(long t, long column) {
        const long n = column / channels, c = column % channels;
        if (real && t >= real[n]) return ChannelSums{{0, 0}};
        const auto g = static_cast<double>(dy(n, t, c));
        return ChannelSums{{g, g * static_cast<double>(normed(n, t, c))}};
      },
      [=] __device__(long column, const ChannelSums& total) { sums[column] = total; });
  if (dgain || dbias)
    cuda::for_each(cuda, "group_norm", channels, [=] __device__(long c) {
      ChannelSums total{};
      for (long n = 0; n < batch; ++n) total = total + sums[n * channels + c];
      if (dbias) cuda::put(dbias.data[c], static_cast<float>(total.of[0]), dbias.add);
      if (dgain) cuda::put(dgain.data[c], static_cast<float>(total.of[1]), dgain.add);
    });
  if (!dx) return;
  cuda::for_each_row(cuda, "group_norm", batch * groups, width, [=] __device__(const cuda::Team& team, long row) {
    const long n = row / groups, g = row % groups;
    ChannelSums total{};
    for (long c = team.rank; c < width; c += team.size) {
      const ChannelSums& one = sums[n * channels + g * width + c];
      const double weight = gain ? static_cast<double>(gain[g * width + c]) : 1;
      total = total + ChannelSums{{weight * one.of[0], weight * one.of[1]}};
    }
    total = team.sum(total);
    const long frames = real ? real[n] : time;
    const auto count = static_cast<double>(frames > 0 ? frames * width : 1);
    if (team.rank == 0) means[row] = {{total.of[0] / count, total.of[1] / count}};
  });
  cuda::for_each_at(cuda, "group_norm", batch * time, channels, [=] __device__(long row, long c) {
    const long n = row / time, t = row % time, g = c / width;
    const ChannelSums& mean = means[n * groups + g];
    const float h = dy(n, t, c) * (gain ? gain[c] : 1.f);
    const float value =
        stats(n, g, 1) * (h - static_cast<float>(mean.of[0]) - normed(n, t, c) * static_cast<float>(mean.of[1]));
    cuda::put(dx(n, t, c), real && t >= real[n] ? 0.f : value, dx.add);
  });
}

}  // namespace phonaut::kernel
