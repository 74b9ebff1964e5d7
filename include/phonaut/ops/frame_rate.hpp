#pragma once
// Fewer or more frames in the same time, without weights: means of neighbours, and repetition.
#include "phonaut/core/sequence.hpp"
#include "phonaut/ops/shape.hpp"

namespace phonaut {

namespace kernel {

/// y[n, j] = mean of the frames x[n, j·group …] below the length; 0 where there is none.
template <class S>
void average_frames_forward(const Reference&, View<const S, 3> x, const long* lengths, long group, View<S, 3> y) {
  const long channels = x.shape[2];
  for (long n = 0; n < y.shape[0]; ++n)
    for (long j = 0; j < y.shape[1]; ++j) {
      const long time = lengths ? lengths[n] : x.shape[1], first = j * group;
      const long count = std::min(group, time - first);
      S* to = y.data + n * y.stride[0] + j * y.stride[1];
      std::fill_n(to, channels, S(0));
      for (long t = first; t < first + count; ++t) {
        const S* from = x.data + n * x.stride[0] + t * x.stride[1];
        for (long c = 0; c < channels; ++c) to[c] += from[c];
      }
      for (long c = 0; count > 1 && c < channels; ++c) to[c] = to[c] / S(double(count));
    }
}
template <class S>
void average_frames_backward(const Reference&, View<const S, 3> dy, const long* lengths, long group, Sink<S, 3> dx) {
  const long channels = dx.shape[2];
  for (long n = 0; n < dx.shape[0]; ++n)
    for (long t = 0; t < dx.shape[1]; ++t) {
      const long time = lengths ? lengths[n] : dx.shape[1], row = (n * dx.shape[1] + t) * channels;
      const S share = t < time ? S(1.0 / double(std::min(group, time - t / group * group))) : S(0);
      const S* from = dy.data + n * dy.stride[0] + t / group * dy.stride[1];
      for (long c = 0; c < channels; ++c) dx.put(row + c, share * from[c]);
    }
}
/// y[n, t] = x[n, t / times].
template <class S>
void repeat_frames_forward(const Reference&, View<const S, 3> x, long times, View<S, 3> y) {
  for (long n = 0; n < y.shape[0]; ++n)
    for (long t = 0; t < y.shape[1]; ++t)
      std::copy_n(x.data + n * x.stride[0] + t / times * x.stride[1], x.shape[2],
                  y.data + n * y.stride[0] + t * y.stride[1]);
}
template <class S>
void repeat_frames_backward(const Reference&, View<const S, 3> dy, long times, Sink<S, 3> dx) {
  const long channels = dx.shape[2];
  for (long n = 0; n < dx.shape[0]; ++n)
    for (long t = 0; t < dx.shape[1]; ++t) {
      S* to = dx.data + (n * dx.shape[1] + t) * channels;
      if (!dx.add) std::fill_n(to, channels, S(0));
      for (long u = t * times; u < std::min((t + 1) * times, dy.shape[1]); ++u) {
        const S* from = dy.data + n * dy.stride[0] + u * dy.stride[1];
        for (long c = 0; c < channels; ++c) to[c] += from[c];
      }
    }
}

void average_frames_forward(const Cpu& cpu, View<const float, 3> x, const long* lengths, long group, View<float, 3> y);
void average_frames_backward(const Cpu& cpu, View<const float, 3> dy, const long* lengths, long group,
                             Sink<float, 3> dx);
void repeat_frames_forward(const Cpu& cpu, View<const float, 3> x, long times, View<float, 3> y);
void repeat_frames_backward(const Cpu& cpu, View<const float, 3> dy, long times, Sink<float, 3> dx);
void average_frames_forward(const Cuda& cuda, View<const float, 3> x, const long* lengths, long group,
                            View<float, 3> y);
void average_frames_backward(const Cuda& cuda, View<const float, 3> dy, const long* lengths, long group,
                             Sink<float, 3> dx);
void repeat_frames_forward(const Cuda& cuda, View<const float, 3> x, long times, View<float, 3> y);
void repeat_frames_backward(const Cuda& cuda, View<const float, 3> dy, long times, Sink<float, 3> dx);

}  // namespace kernel

/// Means of `group` neighbouring frames: T -> ceil(T / group), the last one over what is left of the utterance. Frames
/// beyond the new lengths are 0. Throws ConfigError if group < 1.
template <class B>
Sequence<B> average_frames(const Sequence<B>& in, long group) {
  if (group < 1) throw ConfigError(concat("average_frames: cannot average groups of ", group, " frames"));
  check_lengths("average_frames", in);
  if (group == 1) return in;
  const Var<B, 3> x = in.frames;
  const auto groups = [group](long time) { return (time + group - 1) / group; };
  auto& ctx = x.context();
  auto y = ctx.empty(Shape<3>{x.extent(0), groups(x.extent(1)), x.extent(2)});
  kernel::average_frames_forward(ctx.backend(), x.in(), in.length_data(), group, y.out());
  auto frames = record(
      std::move(y),
      [x = target(x), lengths = in.lengths, group](Context<B>& c, const Tensor<B, 3>& dy) {
        if (auto dx = c.sink(x))
          kernel::average_frames_backward(c.backend(), dy.in(), lengths ? lengths.data() : nullptr, group, dx);
      },
      x);
  return {std::move(frames), map_lengths(in, groups), in.rate / static_cast<double>(group)};
}

/// Every frame `times` times over: T -> times · T, or the first `time` of these frames. Throws ConfigError if times < 1
/// or there are fewer frames than that.
template <class B>
Sequence<B> repeat_frames(const Sequence<B>& in, long times, long time = -1) {
  if (times < 1) throw ConfigError(concat("repeat_frames: cannot repeat frames ", times, " times"));
  check_lengths("repeat_frames", in);
  const Var<B, 3> x = in.frames;
  if (time < 0) time = times * x.extent(1);
  if (time > times * x.extent(1))
    throw ConfigError(
        concat("repeat_frames: ", x.extent(1), " frames repeated ", times, " times do not make ", time, " frames"));
  auto& ctx = x.context();
  auto y = ctx.empty(Shape<3>{x.extent(0), time, x.extent(2)});
  kernel::repeat_frames_forward(ctx.backend(), x.in(), times, y.out());
  auto frames = record(
      std::move(y),
      [x = target(x), times](Context<B>& c, const Tensor<B, 3>& dy) {
        if (auto dx = c.sink(x)) kernel::repeat_frames_backward(c.backend(), dy.in(), times, dx);
      },
      x);
  return {std::move(frames), map_lengths(in, [=](long n) { return std::min(times * n, time); }),
          in.rate * static_cast<double>(times)};
}

}  // namespace phonaut
