#pragma once
// Layer normalisation over the innermost axis. Ba et al., "Layer normalization", 2016.
#include "phonaut/core/math.hpp"
#include "phonaut/ops/row_blocks.hpp"
#include "phonaut/ops/shape.hpp"
#include "phonaut/ops/wide.hpp"

namespace phonaut {

namespace kernel {

/// y = (x - mean) rstd · gain + bias; `stats` (rows, 2) gets mean and rstd = (variance + epsilon)^(-1/2). The variance
/// is that of the differences from the mean (two passes): E[x²] - E[x]² would cancel. gain, bias: (width) or null.
template <class S>
void layer_norm_forward(const Reference&, View<const S, 2> x, const S* gain, const S* bias, double epsilon,
                        View<S, 2> y, View<S, 2> stats) {
  using math::sqrt;
  using W = Wide<S>;
  const long width = x.shape[1];
  for (long r = 0; r < x.shape[0]; ++r) {
    const S* from = x.row(r);
    S* to = y.row(r);
    W total = 0, square = 0;
    for (long c = 0; c < width; ++c) total += W(from[c]);
    const W mean = total / W(width);
    for (long c = 0; c < width; ++c) square += (W(from[c]) - mean) * (W(from[c]) - mean);
    const W rstd = W(1) / sqrt(square / W(width) + W(epsilon));
    for (long c = 0; c < width; ++c) {
      const W normed = (W(from[c]) - mean) * rstd;
      to[c] = S(normed * (gain ? W(gain[c]) : W(1)) + (bias ? W(bias[c]) : W(0)));
    }
    stats.row(r)[0] = S(mean);
    stats.row(r)[1] = S(rstd);
  }
}
/// With z = (x - mean) rstd and h = dy · gain: dgain = Σ_rows dy z, dbias = Σ_rows dy and, because mean and rstd depend
/// on x as well, dx = rstd (h - mean(h) - z mean(h z)). `partial` (row_blocks(rows), 2 width) is scratch; empty when
/// neither dgain nor dbias is wanted.
template <class S>
void layer_norm_backward(const Reference&, View<const S, 2> dy, View<const S, 2> x, const S* gain,
                         View<const S, 2> stats, Sink<S, 2> dx, Sink<S, 1> dgain, Sink<S, 1> dbias, View<S, 2>) {
  using W = Wide<S>;
  const long rows = x.shape[0], width = x.shape[1];
  const auto normed = [&](long r, long c) { return (W(x.row(r)[c]) - W(stats.row(r)[0])) * W(stats.row(r)[1]); };
  if (dx)
    for (long r = 0; r < rows; ++r) {
      W sum_h = 0, sum_hz = 0;
      const auto h = [&](long c) { return W(dy.row(r)[c]) * (gain ? W(gain[c]) : W(1)); };
      for (long c = 0; c < width; ++c) {
        sum_h += h(c);
        sum_hz += h(c) * normed(r, c);
      }
      const W mean_h = sum_h / W(width), mean_hz = sum_hz / W(width);
      for (long c = 0; c < width; ++c)
        dx.put(r * width + c, S(W(stats.row(r)[1]) * (h(c) - mean_h - normed(r, c) * mean_hz)));
    }
  for (long c = 0; (dgain || dbias) && c < width; ++c) {
    W to_gain = 0, to_bias = 0;
    for (long r = 0; r < rows; ++r) {
      to_gain += W(dy.row(r)[c]) * normed(r, c);
      to_bias += W(dy.row(r)[c]);
    }
    if (dgain) dgain.put(c, S(to_gain));
    if (dbias) dbias.put(c, S(to_bias));
  }
}

void layer_norm_forward(const Cpu& cpu, View<const float, 2> x, const float* gain, const float* bias, double epsilon,
                        View<float, 2> y, View<float, 2> stats);
void layer_norm_backward(const Cpu& cpu, View<const float, 2> dy, View<const float, 2> x, const float* gain,
                         View<const float, 2> stats, Sink<float, 2> dx, Sink<float, 1> dgain, Sink<float, 1> dbias,
                         View<float, 2> partial);
void layer_norm_forward(const Cuda& cuda, View<const float, 2> x, const float* gain, const float* bias, double epsilon,
                        View<float, 2> y, View<float, 2> stats);
void layer_norm_backward(const Cuda& cuda, View<const float, 2> dy, View<const float, 2> x, const float* gain,
                         View<const float, 2> stats, Sink<float, 2> dx, Sink<float, 1> dgain, Sink<float, 1> dbias,
                         View<float, 2>);

}  // namespace kernel

/// y = (x - mean) / sqrt(variance + epsilon) · gain + bias over the innermost axis of x (…, C); gain and bias (C) or
/// absent. Throws ShapeError if they do not fit.
template <class B, size_t R>
Var<B, R> layer_norm(const Var<B, R>& any, Weight<B, 1> gain = {}, Weight<B, 1> bias = {}, double epsilon = 1e-5) {
  if (gain) check_channels("layer_norm", any.shape(), gain.extent(0), "the gain ", gain.shape());
  if (bias) check_channels("layer_norm", any.shape(), bias.extent(0), "the bias ", bias.shape());
  const Var<B, R> x = rowwise(any);
  auto& ctx = x.context();
  const Var<B, 1> g = ctx.lift(gain), b = ctx.lift(bias);
  auto y = ctx.empty(x.shape());
  const View rows = as_rows(x.in());
  const Tensor<B, 2> stats = ctx.empty(Shape<2>{rows.shape[0], 2});
  kernel::layer_norm_forward(ctx.backend(), rows, detail::data_of(g), detail::data_of(b), epsilon, as_rows(y.out()),
                             stats.out());
  return record(
      std::move(y),
      [x, stats, g, b](Context<B>& c, const Tensor<B, R>& dy) {
        const View from = as_rows(x.in());
        const auto dg = c.sink(g), db = c.sink(b);
        Tensor<B, 2> partial;
        if (dg || db) partial = c.empty(Shape<2>{kernel::row_blocks(from.shape[0]), 2 * from.shape[1]});
        kernel::layer_norm_backward(c.backend(), as_rows(dy.in()), from, detail::data_of(g), stats.in(),
                                    as_rows(c.sink(x)), dg, db, partial.out());
      },
      x, g, b);
}

}  // namespace phonaut
