#pragma once
// BiasNorm: a normalisation that may keep some of a frame's length. Yao et al., "Zipformer", 2023, section 3.2.
#include "phonaut/core/math.hpp"
#include "phonaut/ops/shape.hpp"
#include "phonaut/ops/wide.hpp"

namespace phonaut {

namespace kernel {

/// Rows whose bias gradients are summed together. Fixed, so that results do not depend on the thread count.
constexpr long bias_norm_rows_per_block = 64;
constexpr long bias_norm_blocks(long rows) { return (rows + bias_norm_rows_per_block - 1) / bias_norm_rows_per_block; }
/// Below this mean square of x - bias a row counts as equal to the bias. It has no direction then: y and its gradient
/// are 0, where the formula divides by zero.
constexpr double bias_norm_floor = 1e-30;

/// y = x · r · exp(log_scale) with r = mean((x - bias)²)^(-1/2), which goes to `rms` (rows). x itself is scaled, not
/// x - bias, and there is no epsilon.
template <class S>
void bias_norm_forward(const Reference&, View<const S, 2> x, const S* bias, const S* log_scale, View<S, 2> y,
                       View<S, 1> rms) {
  using math::exp;
  using math::sqrt;
  using W = Wide<S>;
  const long width = x.shape[1];
  const W scale = exp(W(*log_scale));
  for (long row = 0; row < x.shape[0]; ++row) {
    W square = 0;
    for (long c = 0; c < width; ++c) {
      const W d = W(x.row(row)[c]) - W(bias[c]);
      square += d * d;
    }
    square /= W(static_cast<double>(width));
    const W r = square > W(bias_norm_floor) ? W(1) / sqrt(square) : W(0);
    for (long c = 0; c < width; ++c) y.row(row)[c] = S(W(x.row(row)[c]) * r * scale);
    rms.data[row] = S(r);
  }
}
/// With e = exp(log_scale), z = (x - bias) r and h = mean(dy x r): since dr/dx = -r³ (x - bias) / width,
/// dx = e r (dy - z h), dbias = Σ_rows e r z h and dlog_scale = Σ dy y = Σ_rows e width h.
/// `partial` (bias_norm_blocks(rows), width + 1) is scratch; empty when neither dbias nor dlog_scale is wanted.
template <class S>
void bias_norm_backward(const Reference&, View<const S, 2> dy, View<const S, 2> x, const S* bias, const S* log_scale,
                        View<const S, 1> rms, Sink<S, 2> dx, Sink<S, 1> dbias, Sink<S, 0> dlog_scale, View<S, 2>) {
  using math::exp;
  using W = Wide<S>;
  const long rows = x.shape[0], width = x.shape[1];
  const W scale = exp(W(*log_scale)), count = W(static_cast<double>(width));
  const auto h_of = [&](long row) {
    W total = 0;
    for (long c = 0; c < width; ++c) total += W(dy.row(row)[c]) * W(x.row(row)[c]);
    return total * W(rms.data[row]) / count;
  };
  const auto z_of = [&](long row, long c) { return (W(x.row(row)[c]) - W(bias[c])) * W(rms.data[row]); };
  W total_scale = 0;
  for (long row = 0; row < rows; ++row) {
    const W h = h_of(row), r = rms.data[row];
    total_scale += scale * count * h;
    for (long c = 0; dx && c < width; ++c)
      dx.put(row * width + c, S(scale * r * (W(dy.row(row)[c]) - z_of(row, c) * h)));
  }
  if (dlog_scale) dlog_scale.put(0, S(total_scale));
  for (long c = 0; dbias && c < width; ++c) {
    W total = 0;
    for (long row = 0; row < rows; ++row) total += scale * W(rms.data[row]) * z_of(row, c) * h_of(row);
    dbias.put(c, S(total));
  }
}

void bias_norm_forward(const Cpu& cpu, View<const float, 2> x, const float* bias, const float* log_scale,
                       View<float, 2> y, View<float, 1> rms);
void bias_norm_backward(const Cpu& cpu, View<const float, 2> dy, View<const float, 2> x, const float* bias,
                        const float* log_scale, View<const float, 1> rms, Sink<float, 2> dx, Sink<float, 1> dbias,
                        Sink<float, 0> dlog_scale, View<float, 2> partial);
void bias_norm_forward(const Cuda& cuda, View<const float, 2> x, const float* bias, const float* log_scale,
                       View<float, 2> y, View<float, 1> rms);
void bias_norm_backward(const Cuda& cuda, View<const float, 2> dy, View<const float, 2> x, const float* bias,
                        const float* log_scale, View<const float, 1> rms, Sink<float, 2> dx, Sink<float, 1> dbias,
                        Sink<float, 0> dlog_scale, View<float, 2>);

}  // namespace kernel

/// y = x · mean((x - bias)²)^(-1/2) · exp(log_scale) over the innermost axis of x (…, C); bias (C), log_scale a scalar.
/// A frame that equals the bias becomes 0. Throws ShapeError if the bias does not fit.
template <class B, size_t R>
Var<B, R> bias_norm(const Var<B, R>& any, Weight<B, 1> bias, Weight<B, 0> log_scale) {
  check_channels("bias_norm", any.shape(), bias.extent(0), "the bias ", bias.shape());
  const Var<B, R> x = rowwise(any);
  auto& ctx = x.context();
  const Var<B, 1> b = ctx.lift(bias);
  const Var<B, 0> g = ctx.lift(log_scale);
  auto y = ctx.empty(x.shape());
  const View rows = as_rows(x.in());
  const Tensor<B, 1> rms = ctx.empty(Shape<1>{rows.shape[0]});
  kernel::bias_norm_forward(ctx.backend(), rows, b.in().data, g.in().data, as_rows(y.out()), rms.out());
  return record(
      std::move(y),
      [x, b, g, rms](Context<B>& c, const Tensor<B, R>& dy) {
        const View from = as_rows(x.in());
        const auto db = c.sink(b);
        const auto dg = c.sink(g);
        Tensor<B, 2> partial;
        if (db || dg) partial = c.empty(Shape<2>{kernel::bias_norm_blocks(from.shape[0]), from.shape[1] + 1});
        kernel::bias_norm_backward(c.backend(), as_rows(dy.in()), from, b.in().data, g.in().data, rms.in(),
                                   as_rows(c.sink(x)), db, dg, partial.out());
      },
      x, b, g);
}

}  // namespace phonaut
