#pragma once
// Convolution over time and frequency of each channel with a filter of its own.
#include "phonaut/core/sequence.hpp"
#include "phonaut/ops/depthwise_image.hpp"
#include "phonaut/ops/shape.hpp"
#include "phonaut/ops/wide.hpp"

namespace phonaut {

namespace kernel {

/// y[n, t, f, c] = bias[c] + Σ_ij w[c, i, j] x[n, t + i - before, f + j - kernel_frequency / 2, c];
/// x (N, T, F, C), w (C, kernel_time · kernel_frequency), y (N, T', F, C).
template <class S>
void depthwise_conv2d_forward(const Reference&, const DepthwiseImage& g, View<const S, 4> x, View<const S, 2> w,
                              const S* bias, View<S, 4> y) {
  using W = Wide<S>;
  const long bands = x.shape[2], half = g.kernel_frequency / 2;
  for (long n = 0; n < y.shape[0]; ++n)
    for (long t = 0; t < y.shape[1]; ++t)
      for (long f = 0; f < bands; ++f)
        for (long c = 0; c < y.shape[3]; ++c) {
          W total = bias ? W(bias[c]) : W(0);
          for (long i = 0; i < g.kernel_time; ++i) {
            const long from_t = t + i - g.before;
            if (from_t < 0 || from_t >= g.frames(n, x.shape[1])) continue;
            for (long j = std::max(0L, half - f); j < g.kernel_frequency && f + j - half < bands; ++j)
              total += W(w(c, i * g.kernel_frequency + j)) * W(x(n, from_t, f + j - half, c));
          }
          y(n, t, f, c) = S(total);
        }
}
template <class S>
void depthwise_conv2d_backward(const Reference&, const DepthwiseImage& g, View<const S, 4> dy, View<const S, 4> x,
                               View<const S, 2> w, Sink<S, 4> dx, Sink<S, 2> dw, Sink<S, 1> dbias) {
  using W = Wide<S>;
  const long batch = x.shape[0], time = x.shape[1], bands = x.shape[2], channels = x.shape[3],
             half = g.kernel_frequency / 2;
  for (long n = 0; dx && n < batch; ++n)
    for (long t = 0; t < time; ++t)
      for (long f = 0; f < bands; ++f)
        for (long c = 0; c < channels; ++c) {
          W total = 0;
          for (long i = 0; t < g.frames(n, time) && i < g.kernel_time; ++i) {
            const long from_t = t - i + g.before;
            if (from_t < 0 || from_t >= dy.shape[1]) continue;
            for (long j = 0; j < g.kernel_frequency; ++j) {
              const long from_f = f - j + half;
              if (from_f >= 0 && from_f < bands)
                total += W(w(c, i * g.kernel_frequency + j)) * W(dy(n, from_t, from_f, c));
            }
          }
          dx.put(((n * time + t) * bands + f) * channels + c, S(total));
        }
  for (long c = 0; dw && c < channels; ++c)
    for (long i = 0; i < g.kernel_time; ++i)
      for (long j = 0; j < g.kernel_frequency; ++j) {
        W total = 0;
        for (long n = 0; n < batch; ++n)
          for (long t = 0; t < dy.shape[1]; ++t) {
            const long from_t = t + i - g.before;
            if (from_t < 0 || from_t >= g.frames(n, time)) continue;
            for (long f = std::max(0L, half - j); f < bands && f + j - half < bands; ++f)
              total += W(dy(n, t, f, c)) * W(x(n, from_t, f + j - half, c));
          }
        dw.put((c * g.kernel_time + i) * g.kernel_frequency + j, S(total));
      }
  for (long c = 0; dbias && c < channels; ++c) {
    W total = 0;
    for (long n = 0; n < batch; ++n)
      for (long t = 0; t < dy.shape[1]; ++t)
        for (long f = 0; f < bands; ++f) total += W(dy(n, t, f, c));
    dbias.put(c, S(total));
  }
}

void depthwise_conv2d_forward(const Cpu& cpu, const DepthwiseImage& g, View<const float, 4> x, View<const float, 2> w,
                              const float* bias, View<float, 4> y);
void depthwise_conv2d_backward(const Cpu& cpu, const DepthwiseImage& g, View<const float, 4> dy, View<const float, 4> x,
                               View<const float, 2> w, Sink<float, 4> dx, Sink<float, 2> dw, Sink<float, 1> dbias);
void depthwise_conv2d_forward(const Cuda& cuda, const DepthwiseImage& g, View<const float, 4> x, View<const float, 2> w,
                              const float* bias, View<float, 4> y);
void depthwise_conv2d_backward(const Cuda& cuda, const DepthwiseImage& g, View<const float, 4> dy,
                               View<const float, 4> x, View<const float, 2> w, Sink<float, 4> dx, Sink<float, 2> dw,
                               Sink<float, 1> dbias);

}  // namespace kernel

/// Images (N, T, F, C) -> (N, T + before + after - K + 1, F, C), with zeros around them: `before` and `after` in time,
/// centred in frequency. weight (C, 1, K, J) as in published checkpoints, J odd, bias (C) or absent. With `lengths`
/// frames at and beyond an utterance's length count as zeros. Throws ShapeError if weight, bias or lengths do not fit.
template <class B>
Var<B, 4> depthwise_conv2d(const Var<B, 4>& any, Weight<B, 4> weight, Weight<B, 1> bias, long before, long after,
                           const Lengths& lengths = {}) {
  check_channels("depthwise_conv2d", any.shape(), weight.extent(0), "weight ", weight.shape());
  const long times = any.extent(1) + before + after - weight.extent(2) + 1;
  if (weight.extent(1) != 1 || weight.extent(3) % 2 == 0 || before < 0 || after < 0 || times < 0 ||
      (bias && bias.extent(0) != weight.extent(0)))
    throw ShapeError(concat("depthwise_conv2d: weight ", text(weight.shape()), " and bias ",
                            bias ? text(bias.shape()) : "none", " do not fit an image ", text(any.shape()), " with ",
                            before, " + ", after, " frames of zeros"));
  if (lengths && lengths.extent(0) != any.extent(0))
    throw ShapeError(
        concat("depthwise_conv2d: image ", text(any.shape()), " but there are ", lengths.extent(0), " lengths"));
  const Var<B, 4> x = packed(any);
  auto& ctx = x.context();
  const Shape<2> filters{weight.extent(0), weight.extent(2) * weight.extent(3)};
  const Var<B, 2> w = reshape(ctx.lift(weight), filters);
  const Var<B, 1> b = ctx.lift(bias);
  const kernel::DepthwiseImage g{weight.extent(2), weight.extent(3), before, lengths ? lengths.data() : nullptr};
  auto y = ctx.empty(Shape<4>{x.extent(0), times, x.extent(2), x.extent(3)});
  kernel::depthwise_conv2d_forward(ctx.backend(), g, x.in(), w.in(), b ? b.in().data : nullptr, y.out());
  return record(
      std::move(y),
      [x, w, b, g, kept = lengths](Context<B>& c, const Tensor<B, 4>& dy) {  // g points into the lengths
        kernel::depthwise_conv2d_backward(c.backend(), g, dy.in(), x.in(), w.in(), c.sink(x), c.sink(w), c.sink(b));
      },
      x, w, b);
}

}  // namespace phonaut
