#pragma once
// y = f(x Wᵀ + b) in one node.
#include "phonaut/ops/linear.hpp"
#include "phonaut/ops/map.hpp"

namespace phonaut {

/// y = f(x Wᵀ + b): x (…, in), weight (out, in), bias (out) or absent -> (…, out); f is a formula of ops/formula. Where
/// gradients are wanted x Wᵀ + b is kept, otherwise f is computed in place, by the product itself if it knows f
/// (ops/product_activation.hpp). Throws ShapeError if they do not fit.
template <class F, class B, size_t R>
Var<B, R> linear_activation(const Var<B, R>& any, Weight<B, 2> weight, Weight<B, 1> bias = {}, F f = {}) {
  using S = typename B::Scalar;
  check_channels("linear_activation", any.shape(), weight.extent(1), "weight ", weight.shape());
  if (bias && bias.extent(0) != weight.extent(0))
    throw ShapeError(
        concat("linear_activation: bias ", text(bias.shape()), " does not fit weight ", text(weight.shape())));
  const Var<B, R> x = rowwise(any);
  auto& ctx = x.context();
  const Var<B, 2> w = ctx.lift(weight);
  const Var<B, 1> b = ctx.lift(bias);
  Shape<R> shape = x.shape();
  shape[R - 1] = weight.extent(0);
  auto before = ctx.empty(shape);
  const bool keep = ctx.wants_gradient(x, w, b);
  const auto at_once = keep ? kernel::Activation::none : kernel::activation_of<F>;
  kernel::linear_forward(ctx.backend(), as_rows(x.in()), w.in(), detail::data_of(b), as_rows(before.out()), at_once);
  const Tensor<B, R> y = keep ? ctx.empty(shape) : before;
  if (at_once == kernel::Activation::none) {
    using kernel::map_forward;
    map_forward(ctx.backend(), f, as_rows(before.in()), as_rows(y.out()));
  }
  return record(
      y,
      [x, w, b, f, before](Context<B>& c, const Tensor<B, R>& dy) {
        using kernel::map_backward;
        const Tensor<B, R> dbefore = c.empty(before.shape());
        map_backward(c.backend(), f, as_rows(dy.in()), as_rows(before.in()),
                     as_rows(Sink<S, R>(dbefore.data(), dbefore.shape(), false)));
        kernel::linear_backward(c.backend(), as_rows(dbefore.in()), as_rows(x.in()), w.in(), as_rows(c.sink(x)),
                                c.sink(w), c.sink(b));
      },
      x, w, b);
}

}  // namespace phonaut
