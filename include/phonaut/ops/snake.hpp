#pragma once
// Snake: a ramp with a ripple, the activation of many codecs. L. Ziyin, T. Hartwig and M. Ueda, "Neural networks fail
// to learn periodic functions and how to fix it", 2020.
#include "phonaut/core/math.hpp"
#include "phonaut/ops/row_blocks.hpp"
#include "phonaut/ops/shape.hpp"
#include "phonaut/ops/wide.hpp"

namespace phonaut {

namespace kernel {

/// y = x + sin²(a x) / (a + epsilon), with a = alpha of the column.
template <class S>
void snake_forward(const Reference&, View<const S, 2> x, const S* alpha, double epsilon, View<S, 2> y) {
  using math::sin;
  for (long r = 0; r < x.shape[0]; ++r)
    for (long c = 0; c < x.shape[1]; ++c) {
      const S s = sin(alpha[c] * x.row(r)[c]);
      y.row(r)[c] = x.row(r)[c] + s * s / (alpha[c] + S(epsilon));
    }
}
/// With u = a x, s = sin u and q = 1 / (a + epsilon): dx = dy (1 + a q sin 2u) and
/// dalpha = q Σ_rows dy (x sin 2u - q s²). `partial` (row_blocks(rows), width) is scratch; empty when dalpha is not
/// wanted.
template <class S>
void snake_backward(const Reference&, View<const S, 2> dy, View<const S, 2> x, const S* alpha, double epsilon,
                    Sink<S, 2> dx, Sink<S, 1> dalpha, View<S, 2>) {
  using math::cos;
  using math::sin;
  using W = Wide<S>;
  for (long c = 0; c < x.shape[1]; ++c) {
    const S a = alpha[c], q = S(1) / (a + S(epsilon));
    W total = 0;
    for (long r = 0; r < x.shape[0]; ++r) {
      const S u = a * x.row(r)[c], s = sin(u), twice = S(2) * s * cos(u), g = dy.row(r)[c];
      if (dx) dx.put(r * x.shape[1] + c, g * (S(1) + a * q * twice));
      total += W(g * (x.row(r)[c] * twice - q * s * s));
    }
    if (dalpha) dalpha.put(c, S(W(q) * total));
  }
}

void snake_forward(const Cpu& cpu, View<const float, 2> x, const float* alpha, double epsilon, View<float, 2> y);
void snake_backward(const Cpu& cpu, View<const float, 2> dy, View<const float, 2> x, const float* alpha, double epsilon,
                    Sink<float, 2> dx, Sink<float, 1> dalpha, View<float, 2> partial);
void snake_forward(const Cuda& cuda, View<const float, 2> x, const float* alpha, double epsilon, View<float, 2> y);
void snake_backward(const Cuda& cuda, View<const float, 2> dy, View<const float, 2> x, const float* alpha,
                    double epsilon, Sink<float, 2> dx, Sink<float, 1> dalpha, View<float, 2>);

}  // namespace kernel

/// y = x + sin²(alpha x) / (alpha + epsilon) over the innermost axis of x (…, C), alpha (C) > 0. The default epsilon is
/// that of the Descript audio codec. Throws ShapeError if alpha does not fit.
template <class B, size_t R>
Var<B, R> snake(const Var<B, R>& any, Weight<B, 1> alpha, double epsilon = 1e-9) {
  check_channels("snake", any.shape(), alpha.extent(0), "alpha ", alpha.shape());
  const Var<B, R> x = rowwise(any);
  auto& ctx = x.context();
  const Var<B, 1> a = ctx.lift(alpha);
  auto y = ctx.empty(x.shape());
  kernel::snake_forward(ctx.backend(), as_rows(x.in()), a.in().data, epsilon, as_rows(y.out()));
  return record(
      std::move(y),
      [x, a, epsilon](Context<B>& c, const Tensor<B, R>& dy) {
        const View from = as_rows(x.in());
        const auto da = c.sink(a);
        Tensor<B, 2> partial;
        if (da) partial = c.empty(Shape<2>{kernel::row_blocks(from.shape[0]), from.shape[1]});
        kernel::snake_backward(c.backend(), as_rows(dy.in()), from, a.in().data, epsilon, as_rows(c.sink(x)), da,
                               partial.out());
      },
      x, a);
}

}  // namespace phonaut
