#pragma once
// Fewer frames by a learned mean of neighbours. Yao et al., "Zipformer", 2023 (SimpleDownsample).
#include "phonaut/core/math.hpp"
#include "phonaut/core/sequence.hpp"
#include "phonaut/ops/group_weights.hpp"
#include "phonaut/ops/shape.hpp"
#include "phonaut/ops/wide.hpp"

namespace phonaut {

namespace kernel {

/// y[n, j] = Σ_k softmax(bias)_k x[n, min(j·group + k, last)]. `last` is the last frame of the batch or, where lengths
/// are given, that of the utterance; groups behind it are 0.
template <class S>
void weighted_downsample_forward(const Reference&, View<const S, 3> x, const S* bias, long group, const long* lengths,
                                 View<S, 3> y) {
  using W = Wide<S>;
  W w[max_downsampling];
  group_weights(bias, group, w);
  for (long n = 0; n < y.shape[0]; ++n) {
    const long time = lengths ? lengths[n] : x.shape[1];
    for (long j = 0; j < y.shape[1]; ++j)
      for (long c = 0; c < y.shape[2]; ++c) {
        W total = 0;
        for (long k = 0; j * group < time && k < group; ++k)
          total += w[k] * W(x(n, std::min(j * group + k, time - 1), c));
        y(n, j, c) = S(total);
      }
  }
}
/// dx[min(j·group + k, last)] += w_k dy[j]; with q_k = Σ dy[j] x[…], dbias_k = w_k (q_k - Σ_m w_m q_m).
/// `partial` (N · T', group) is scratch.
template <class S>
void weighted_downsample_backward(const Reference&, View<const S, 3> dy, View<const S, 3> x, const S* bias, long group,
                                  const long* lengths, Sink<S, 3> dx, Sink<S, 1> dbias, View<S, 2>) {
  using W = Wide<S>;
  W w[max_downsampling], q[max_downsampling];
  group_weights(bias, group, w);
  for (long k = 0; k < group; ++k) q[k] = W(0);
  for (long n = 0; n < x.shape[0]; ++n) {
    const long time = lengths ? lengths[n] : x.shape[1], channels = x.shape[2];
    if (dx && !dx.add) std::fill_n(dx.data + n * dx.stride[0], dx.stride[0], S(0));
    for (long j = 0; j * group < time; ++j)
      for (long k = 0; k < group; ++k) {
        const long t = std::min(j * group + k, time - 1);
        for (long c = 0; c < channels; ++c) {
          if (dx) dx(n, t, c) += S(w[k] * W(dy(n, j, c)));
          q[k] += W(dy(n, j, c)) * W(x(n, t, c));
        }
      }
  }
  if (!dbias) return;
  W mean = 0;
  for (long k = 0; k < group; ++k) mean += w[k] * q[k];
  for (long k = 0; k < group; ++k) dbias.put(k, S(w[k] * (q[k] - mean)));
}

void weighted_downsample_forward(const Cpu& cpu, View<const float, 3> x, const float* bias, long group,
                                 const long* lengths, View<float, 3> y);
void weighted_downsample_backward(const Cpu& cpu, View<const float, 3> dy, View<const float, 3> x, const float* bias,
                                  long group, const long* lengths, Sink<float, 3> dx, Sink<float, 1> dbias,
                                  View<float, 2> partial);
void weighted_downsample_forward(const Cuda& cuda, View<const float, 3> x, const float* bias, long group,
                                 const long* lengths, View<float, 3> y);
void weighted_downsample_backward(const Cuda& cuda, View<const float, 3> dy, View<const float, 3> x, const float* bias,
                                  long group, const long* lengths, Sink<float, 3> dx, Sink<float, 1> dbias,
                                  View<float, 2>);

}  // namespace kernel

/// Frames (N, ceil(T / group), C) that are means of `group` neighbours, weighted by softmax(bias); bias (group). The
/// last group is filled up by repeating a frame: with Padding::masked the last one of the utterance, with
/// Padding::reference the last one of the batch, so that a group which straddles an utterance's end takes in what
/// stands behind it. Throws ShapeError for a bias of another size, ConfigError for a group below 1 or above 64.
template <class B>
Sequence<B> weighted_downsample(const Sequence<B>& in, Weight<B, 1> bias, Padding padding = Padding::masked) {
  check_lengths("weighted_downsample", in);
  const long group = bias.extent(0);
  if (group < 1 || group > kernel::max_downsampling)
    throw ConfigError(
        concat("weighted_downsample: groups of ", group, " frames are outside of 1 … ", kernel::max_downsampling));
  const Var<B, 3> x = in.frames;
  auto& ctx = x.context();
  const Var<B, 1> b = ctx.lift(bias);
  const auto groups = [group](long time) { return (time + group - 1) / group; };
  const Lengths lengths = padding == Padding::masked ? in.lengths : Lengths();
  auto y = ctx.empty(Shape<3>{x.extent(0), groups(x.extent(1)), x.extent(2)});
  kernel::weighted_downsample_forward(ctx.backend(), x.in(), b.in().data, group, lengths ? lengths.data() : nullptr,
                                      y.out());
  auto frames = record(
      std::move(y),
      [x, b, group, lengths](Context<B>& c, const Tensor<B, 3>& dy) {
        const auto db = c.sink(b);
        Tensor<B, 2> partial;
        if (db) partial = c.empty(Shape<2>{dy.extent(0) * dy.extent(1), group});
        kernel::weighted_downsample_backward(c.backend(), dy.in(), x.in(), b.in().data, group,
                                             lengths ? lengths.data() : nullptr, c.sink(x), db, partial.out());
      },
      x, b);
  return {std::move(frames), map_lengths(in, groups), in.rate / static_cast<double>(group)};
}

}  // namespace phonaut
