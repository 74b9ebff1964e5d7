#pragma once
// What stands in the padded tail of shorter utterances, and means over the frames in front of it.
#include "phonaut/core/sequence.hpp"
#include "phonaut/ops/shape.hpp"
#include "phonaut/ops/wide.hpp"

namespace phonaut {

namespace kernel {

/// y = x below the length of each utterance, `value` beyond it.
template <class S>
void mask_frames(const Reference&, View<const S, 3> x, const long* lengths, S value, View<S, 3> y) {
  for (long n = 0; n < x.shape[0]; ++n)
    for (long t = 0; t < x.shape[1]; ++t) {
      S* to = y.data + n * y.stride[0] + t * y.stride[1];
      if (t < lengths[n]) std::copy_n(x.data + n * x.stride[0] + t * x.stride[1], x.shape[2], to);
      else std::fill_n(to, x.shape[2], value);
    }
}
/// dx += dy below the length; 0 beyond it in set mode.
template <class S>
void mask_frames_backward(const Reference&, View<const S, 3> dy, const long* lengths, Sink<S, 3> dx) {
  for (long n = 0; n < dx.shape[0]; ++n)
    for (long t = 0; t < dx.shape[1]; ++t)
      for (long c = 0; c < dx.shape[2]; ++c)
        dx.put((n * dx.shape[1] + t) * dx.shape[2] + c, t < lengths[n] ? dy(n, t, c) : S(0));
}
/// y[n] = mean of the frames below the length; 0 where there is none.
template <class S>
void mean_over_time_forward(const Reference&, View<const S, 3> x, const long* lengths, View<S, 2> y) {
  for (long n = 0; n < x.shape[0]; ++n)
    for (long c = 0; c < x.shape[2]; ++c) {
      const long time = lengths ? lengths[n] : x.shape[1];
      Wide<S> total = 0;
      for (long t = 0; t < time; ++t) total += Wide<S>(x(n, t, c));
      y(n, c) = time > 0 ? S(total / Wide<S>(double(time))) : S(0);
    }
}
template <class S>
void mean_over_time_backward(const Reference&, View<const S, 2> dy, const long* lengths, Sink<S, 3> dx) {
  for (long n = 0; n < dx.shape[0]; ++n) {
    const long time = lengths ? lengths[n] : dx.shape[1];
    const S share = time > 0 ? S(1.0 / double(time)) : S(0);
    for (long t = 0; t < dx.shape[1]; ++t)
      for (long c = 0; c < dx.shape[2]; ++c)
        dx.put((n * dx.shape[1] + t) * dx.shape[2] + c, t < time ? share * dy(n, c) : S(0));
  }
}

void mask_frames(const Cuda& cuda, View<const float, 3> x, const long* lengths, float value, View<float, 3> y);
void mask_frames_backward(const Cuda& cuda, View<const float, 3> dy, const long* lengths, Sink<float, 3> dx);
void mean_over_time_forward(const Cuda& cuda, View<const float, 3> x, const long* lengths, View<float, 2> y);
void mean_over_time_backward(const Cuda& cuda, View<const float, 2> dy, const long* lengths, Sink<float, 3> dx);

}  // namespace kernel

/// The same frames with `value` beyond each utterance's length; x itself where nothing is padded.
template <class B>
Sequence<B> mask_frames(const Sequence<B>& in, double value = 0) {
  check_lengths("mask_frames", in);
  if (!in.padded()) return in;
  const Var<B, 3> x = in.frames;
  auto& ctx = x.context();
  auto y = ctx.empty(x.shape());
  kernel::mask_frames(ctx.backend(), x.in(), in.length_data(), typename B::Scalar(value), y.out());
  return in.with(record(
      std::move(y),
      [x = target(x), lengths = in.lengths](Context<B>& c, const Tensor<B, 3>& dy) {
        if (auto dx = c.sink(x)) kernel::mask_frames_backward(c.backend(), dy.in(), lengths.data(), dx);
      },
      x));
}

/// Mean over the real frames of each utterance: (N, T, C) -> (N, C); 0 for an utterance without frames.
template <class B>
Var<B, 2> mean_over_time(const Sequence<B>& in) {
  check_lengths("mean_over_time", in);
  const Var<B, 3> x = in.frames;
  auto& ctx = x.context();
  auto y = ctx.empty(Shape<2>{x.extent(0), x.extent(2)});
  kernel::mean_over_time_forward(ctx.backend(), x.in(), in.length_data(), y.out());
  return record(
      std::move(y),
      [x = target(x), lengths = in.lengths](Context<B>& c, const Tensor<B, 2>& dy) {
        if (auto dx = c.sink(x))
          kernel::mean_over_time_backward(c.backend(), dy.in(), lengths ? lengths.data() : nullptr, dx);
      },
      x);
}

}  // namespace phonaut
