#pragma once
// Root-mean-square normalisation over the innermost axis. Zhang and Sennrich, 2019.
#include "phonaut/core/math.hpp"
#include "phonaut/ops/row_blocks.hpp"
#include "phonaut/ops/shape.hpp"
#include "phonaut/ops/wide.hpp"

namespace phonaut {

namespace kernel {

/// y = x · rstd · gain with rstd = (mean(x²) + epsilon)^(-1/2), which goes to `rstd` (rows). gain: (width) or null.
template <class S>
void rms_norm_forward(const Reference&, View<const S, 2> x, const S* gain, double epsilon, View<S, 2> y,
                      View<S, 1> rstd) {
  using math::sqrt;
  using W = Wide<S>;
  const long width = x.shape[1];
  for (long r = 0; r < x.shape[0]; ++r) {
    W square = 0;
    for (long c = 0; c < width; ++c) square += W(x.row(r)[c]) * W(x.row(r)[c]);
    const W scale = W(1) / sqrt(square / W(width) + W(epsilon));
    for (long c = 0; c < width; ++c) y.row(r)[c] = S(W(x.row(r)[c]) * scale * (gain ? W(gain[c]) : W(1)));
    rstd.data[r] = S(scale);
  }
}
/// With h = dy · gain: dgain = Σ_rows dy x rstd; d rstd / dx = -rstd³ x / width gives
/// dx = rstd (h - x rstd² mean(h x)). `partial` (row_blocks(rows), width) is scratch, empty without dgain.
template <class S>
void rms_norm_backward(const Reference&, View<const S, 2> dy, View<const S, 2> x, const S* gain, View<const S, 1> rstd,
                       Sink<S, 2> dx, Sink<S, 1> dgain, View<S, 2>) {
  using W = Wide<S>;
  const long rows = x.shape[0], width = x.shape[1];
  if (dx)
    for (long r = 0; r < rows; ++r) {
      const W scale = rstd.data[r];
      const auto h = [&](long c) { return W(dy.row(r)[c]) * (gain ? W(gain[c]) : W(1)); };
      W sum_hx = 0;
      for (long c = 0; c < width; ++c) sum_hx += h(c) * W(x.row(r)[c]);
      const W factor = scale * scale * sum_hx / W(width);
      for (long c = 0; c < width; ++c) dx.put(r * width + c, S(scale * (h(c) - W(x.row(r)[c]) * factor)));
    }
  for (long c = 0; dgain && c < width; ++c) {
    W total = 0;
    for (long r = 0; r < rows; ++r) total += W(dy.row(r)[c]) * W(x.row(r)[c]) * W(rstd.data[r]);
    dgain.put(c, S(total));
  }
}

void rms_norm_forward(const Cpu& cpu, View<const float, 2> x, const float* gain, double epsilon, View<float, 2> y,
                      View<float, 1> rstd);
void rms_norm_backward(const Cpu& cpu, View<const float, 2> dy, View<const float, 2> x, const float* gain,
                       View<const float, 1> rstd, Sink<float, 2> dx, Sink<float, 1> dgain, View<float, 2> partial);
void rms_norm_forward(const Cuda& cuda, View<const float, 2> x, const float* gain, double epsilon, View<float, 2> y,
                      View<float, 1> rstd);
void rms_norm_backward(const Cuda& cuda, View<const float, 2> dy, View<const float, 2> x, const float* gain,
                       View<const float, 1> rstd, Sink<float, 2> dx, Sink<float, 1> dgain, View<float, 2>);

}  // namespace kernel

/// y = x / sqrt(mean(x²) + epsilon) · gain over the innermost axis of x (…, C); gain (C) or absent. Throws ShapeError
/// if it does not fit.
template <class B, size_t R>
Var<B, R> rms_norm(const Var<B, R>& any, Weight<B, 1> gain = {}, double epsilon = 1e-6) {
  if (gain) check_channels("rms_norm", any.shape(), gain.extent(0), "the gain ", gain.shape());
  const Var<B, R> x = rowwise(any);
  auto& ctx = x.context();
  const Var<B, 1> g = ctx.lift(gain);
  auto y = ctx.empty(x.shape());
  const View rows = as_rows(x.in());
  const Tensor<B, 1> rstd = ctx.empty(Shape<1>{rows.shape[0]});
  kernel::rms_norm_forward(ctx.backend(), rows, detail::data_of(g), epsilon, as_rows(y.out()), rstd.out());
  return record(
      std::move(y),
      [x, rstd, g](Context<B>& c, const Tensor<B, R>& dy) {
        const View from = as_rows(x.in());
        const auto dg = c.sink(g);
        Tensor<B, 2> partial;
        if (dg) partial = c.empty(Shape<2>{kernel::row_blocks(from.shape[0]), from.shape[1]});
        kernel::rms_norm_backward(c.backend(), as_rows(dy.in()), from, detail::data_of(g), rstd.in(),
                                  as_rows(c.sink(x)), dg, partial.out());
      },
      x, g);
}

}  // namespace phonaut
