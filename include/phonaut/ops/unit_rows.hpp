#pragma once
// Rows at unit length: the first half of every cosine.
#include "phonaut/core/math.hpp"
#include "phonaut/ops/shape.hpp"
#include "phonaut/ops/wide.hpp"

namespace phonaut {

namespace kernel {

/// y = x / max(|x|, least), row by row; `inverse` (rows) gets the factors.
template <class S>
void unit_rows_forward(const Reference&, double least, View<const S, 2> x, View<S, 2> y, S* inverse) {
  using math::sqrt;
  using W = Wide<S>;
  for (long r = 0; r < x.shape[0]; ++r) {
    W square = 0;
    for (long c = 0; c < x.shape[1]; ++c) square += W(x.row(r)[c]) * W(x.row(r)[c]);
    const bool short_row = !(square > W(least * least));
    const W factor = W(1) / (short_row ? W(least) : sqrt(square));
    for (long c = 0; c < x.shape[1]; ++c) y.row(r)[c] = S(W(x.row(r)[c]) * factor);
    inverse[r] = S(factor);
  }
}
/// With |x| > least: dx = (dy - <dy, y> y) / |x|. A row that was not longer is only scaled: dx = dy / least.
template <class S>
void unit_rows_backward(const Reference&, double least, View<const S, 2> dy, View<const S, 2> y, const S* inverse,
                        Sink<S, 2> dx) {
  using W = Wide<S>;
  for (long r = 0; r < y.shape[0]; ++r) {
    W along = 0;
    const bool short_row = !(inverse[r] < S(1 / least));
    for (long c = 0; !short_row && c < y.shape[1]; ++c) along += W(dy.row(r)[c]) * W(y.row(r)[c]);
    for (long c = 0; c < y.shape[1]; ++c)
      dx.put(r * y.shape[1] + c, S((W(dy.row(r)[c]) - along * W(y.row(r)[c])) * W(inverse[r])));
  }
}

void unit_rows_forward(const Cpu& cpu, double least, View<const float, 2> x, View<float, 2> y, float* inverse);
void unit_rows_backward(const Cpu& cpu, double least, View<const float, 2> dy, View<const float, 2> y,
                        const float* inverse, Sink<float, 2> dx);
void unit_rows_forward(const Cuda& cuda, double least, View<const float, 2> x, View<float, 2> y, float* inverse);
void unit_rows_backward(const Cuda& cuda, double least, View<const float, 2> dy, View<const float, 2> y,
                        const float* inverse, Sink<float, 2> dx);

}  // namespace kernel

/// x / max(|x|, least) along the innermost axis. A row of zeros stays zero; its gradient is finite.
template <class B, size_t R>
Var<B, R> unit_rows(const Var<B, R>& any, double least = 1e-8) {
  const Var<B, R> x = rowwise(any);
  auto& ctx = x.context();
  auto y = ctx.empty(x.shape());
  const Tensor<B, 1> inverse = ctx.empty(Shape<1>{x.in().rows()});
  kernel::unit_rows_forward(ctx.backend(), least, as_rows(x.in()), as_rows(y.out()), inverse.data());
  return record(
      y,
      [x, y, inverse, least](Context<B>& c, const Tensor<B, R>& dy) {
        if (auto dx = c.sink(x))
          kernel::unit_rows_backward(c.backend(), least, as_rows(dy.in()), as_rows(y.in()),
                                     static_cast<const typename B::Scalar*>(inverse.data()), as_rows(dx));
      },
      x);
}

}  // namespace phonaut
