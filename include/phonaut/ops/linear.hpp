#pragma once
// y = x Wᵀ + b, the affine map over the innermost axis.
#include "phonaut/ops/column_sum.hpp"
#include "phonaut/ops/gemm.hpp"
#include "phonaut/ops/shape.hpp"

namespace phonaut {

namespace kernel {

/// y (rows, out) = f(x (rows, in) · wᵀ (in, out) + b).
template <class B, class S>
void linear_forward(const B& backend, View<const S, 2> x, View<const S, 2> w, const S* bias, View<S, 2> y,
                    Activation f = Activation::none) {
  gemm(backend, Gemm<S>{.m = x.shape[0],
                        .n = w.shape[0],
                        .k = x.shape[1],
                        .a = x.data,
                        .a_row = x.stride[0],
                        .a_col = 1,
                        .b = w.data,
                        .b_row = 1,
                        .b_col = w.stride[0],
                        .c = y.data,
                        .c_row = y.stride[0],
                        .bias = bias,
                        .activation = f});
}
/// dx = dy W, dW = dyᵀ x, db = Σ_rows dy.
template <class B, class S>
void linear_backward(const B& backend, View<const S, 2> dy, View<const S, 2> x, View<const S, 2> w, Sink<S, 2> dx,
                     Sink<S, 2> dw, Sink<S, 1> db) {
  if (dx)
    gemm(backend, Gemm<S>{.m = dx.shape[0],
                          .n = dx.shape[1],
                          .k = dy.shape[1],
                          .a = dy.data,
                          .a_row = dy.stride[0],
                          .a_col = 1,
                          .b = w.data,
                          .b_row = w.stride[0],
                          .b_col = 1,
                          .c = dx.data,
                          .c_row = dx.stride[0],
                          .add = dx.add});
  if (dw)
    gemm(backend, Gemm<S>{.m = dw.shape[0],
                          .n = dw.shape[1],
                          .k = dy.shape[0],
                          .a = dy.data,
                          .a_row = 1,
                          .a_col = dy.stride[0],
                          .b = x.data,
                          .b_row = x.stride[0],
                          .b_col = 1,
                          .c = dw.data,
                          .c_row = dw.stride[0],
                          .add = dw.add});
  if (db) column_sum(backend, dy, db);
}

}  // namespace kernel

/// y = x Wᵀ + b: x (…, in), w (out, in), bias (out) or absent -> (…, out). Throws ShapeError if they do not fit.
template <class B, size_t R>
Var<B, R> linear(const Var<B, R>& any, Weight<B, 2> weight, Weight<B, 1> bias = {}) {
  check_channels("linear", any.shape(), weight.extent(1), "weight ", weight.shape());
  if (bias && bias.extent(0) != weight.extent(0))
    throw ShapeError(concat("linear: bias ", text(bias.shape()), " does not fit weight ", text(weight.shape())));
  const Var<B, R> x = rowwise(any);
  auto& ctx = x.context();
  const Var<B, 2> w = ctx.lift(weight);
  const Var<B, 1> b = ctx.lift(bias);
  Shape<R> shape = x.shape();
  shape[R - 1] = weight.extent(0);
  auto y = ctx.empty(shape);
  kernel::linear_forward(ctx.backend(), as_rows(x.in()), w.in(), b ? b.in().data : nullptr, as_rows(y.out()));
  return record(
      std::move(y),
      [x, w, b](Context<B>& c, const Tensor<B, R>& dy) {
        const auto dx = c.sink(x);  // first: where x is its own weight, the sink of w adds to this one
        const auto dw = c.sink(w);
        kernel::linear_backward(c.backend(), as_rows(dy.in()), as_rows(x.in()), w.in(), as_rows(dx), dw, c.sink(b));
      },
      x, w, b);
}

}  // namespace phonaut
