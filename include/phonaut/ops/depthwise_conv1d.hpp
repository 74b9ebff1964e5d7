#pragma once
// Convolution over time of each channel with a filter of its own.
#include "phonaut/core/context.hpp"
#include "phonaut/ops/shape.hpp"
#include "phonaut/ops/wide.hpp"

namespace phonaut {

namespace kernel {

/// y[n, t, c] = bias[c] + Σ_k w[c, k] x[n, t + k - before, c], with zeros outside of 0 … T-1. bias may be null.
template <class S>
void depthwise_conv1d_forward(const Reference&, View<const S, 3> x, View<const S, 2> w, const S* bias, long before,
                              View<S, 3> y) {
  using W = Wide<S>;
  const long time = x.shape[1], taps = w.shape[1];
  for (long n = 0; n < y.shape[0]; ++n)
    for (long t = 0; t < time; ++t)
      for (long c = 0; c < y.shape[2]; ++c) {
        W total = bias ? W(bias[c]) : W(0);
        for (long k = std::max(0L, before - t); k < taps && t + k - before < time; ++k)
          total += W(w(c, k)) * W(x(n, t + k - before, c));
        y(n, t, c) = S(total);
      }
}
/// dx[t] = Σ_k w[k] dy[t - k + before], dw[k] = Σ dy[t] x[t + k - before], dbias = Σ dy.
template <class S>
void depthwise_conv1d_backward(const Reference&, View<const S, 3> dy, View<const S, 3> x, View<const S, 2> w,
                               long before, Sink<S, 3> dx, Sink<S, 2> dw, Sink<S, 1> dbias) {
  using W = Wide<S>;
  const long batch = x.shape[0], time = x.shape[1], channels = x.shape[2], taps = w.shape[1];
  for (long n = 0; dx && n < batch; ++n)
    for (long t = 0; t < time; ++t)
      for (long c = 0; c < channels; ++c) {
        W total = 0;
        for (long k = std::max(0L, t + before - time + 1); k < taps && t - k + before >= 0; ++k)
          total += W(w(c, k)) * W(dy(n, t - k + before, c));
        dx.put((n * time + t) * channels + c, S(total));
      }
  for (long c = 0; dw && c < channels; ++c)
    for (long k = 0; k < taps; ++k) {
      W total = 0;
      for (long n = 0; n < batch; ++n)
        for (long t = std::max(0L, before - k); t < time && t + k - before < time; ++t)
          total += W(dy(n, t, c)) * W(x(n, t + k - before, c));
      dw.put(c * taps + k, S(total));
    }
  for (long c = 0; dbias && c < channels; ++c) {
    W total = 0;
    for (long n = 0; n < batch; ++n)
      for (long t = 0; t < time; ++t) total += W(dy(n, t, c));
    dbias.put(c, S(total));
  }
}

void depthwise_conv1d_forward(const Cpu& cpu, View<const float, 3> x, View<const float, 2> w, const float* bias,
                              long before, View<float, 3> y);
void depthwise_conv1d_backward(const Cpu& cpu, View<const float, 3> dy, View<const float, 3> x, View<const float, 2> w,
                               long before, Sink<float, 3> dx, Sink<float, 2> dw, Sink<float, 1> dbias);
void depthwise_conv1d_forward(const Cuda& cuda, View<const float, 3> x, View<const float, 2> w, const float* bias,
                              long before, View<float, 3> y);
void depthwise_conv1d_backward(const Cuda& cuda, View<const float, 3> dy, View<const float, 3> x,
                               View<const float, 2> w, long before, Sink<float, 3> dx, Sink<float, 2> dw,
                               Sink<float, 1> dbias);

}  // namespace kernel

/// Frames (N, T, C) -> (N, T, C): y[t] = bias + Σ_k weight[c, 0, k] x[t + k - before] with zeros outside; weight
/// (C, 1, K) as in published checkpoints, bias (C) or absent. `before` = K / 2 is centred, K - 1 causal. Throws
/// ShapeError if weight or bias do not fit.
template <class B>
Var<B, 3> depthwise_conv1d(const Var<B, 3>& x, Weight<B, 3> weight, Weight<B, 1> bias, long before) {
  check_channels("depthwise_conv1d", x.shape(), weight.extent(0), "weight ", weight.shape());
  if (weight.extent(1) != 1 || weight.extent(2) < 1 || before < 0 || before >= weight.extent(2) ||
      (bias && bias.extent(0) != weight.extent(0)))
    throw ShapeError(concat("depthwise_conv1d: weight ", text(weight.shape()), " with ", before,
                            " frames before and bias ", bias ? text(bias.shape()) : "none",
                            " do not describe filters (C, 1, K) that start at 0 … K - 1"));
  auto& ctx = x.context();
  const Var<B, 3> w = ctx.lift(weight);
  const Var<B, 1> b = ctx.lift(bias);
  auto y = ctx.empty(x.shape());
  kernel::depthwise_conv1d_forward(ctx.backend(), x.in(), as_rows(w.in()), b ? b.in().data : nullptr, before, y.out());
  return record(
      std::move(y),
      [x, w, b, before](Context<B>& c, const Tensor<B, 3>& dy) {
        kernel::depthwise_conv1d_backward(c.backend(), dy.in(), x.in(), as_rows(w.in()), before, c.sink(x),
                                          as_rows(c.sink(w)), c.sink(b));
      },
      x, w, b);
}

}  // namespace phonaut
