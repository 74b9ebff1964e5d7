#pragma once
// y = f(x) Wᵀ + b in one node that keeps x alone: f(x), as large as x, is computed again on the way back.
#include "phonaut/ops/linear.hpp"
#include "phonaut/ops/map.hpp"
#include "phonaut/ops/scale_utterances.hpp"

namespace phonaut {

/// y = f(x) Wᵀ + b: x (…, in), weight (out, in), bias (out) or absent -> (…, out); f is a formula of ops/formula.
/// With a `mask` (N, in), f(x) is multiplied by it in every frame (N, …, in): dropout with one draw per utterance.
/// Throws ShapeError if they do not fit.
template <class F, class B, size_t R>
Var<B, R> activation_linear(const Var<B, R>& any, Weight<B, 2> weight, Weight<B, 1> bias = {}, F f = {},
                            const Tensor<B, 2>& mask = {}) {
  check_channels("activation_linear", any.shape(), weight.extent(1), "weight ", weight.shape());
  if (bias && bias.extent(0) != weight.extent(0))
    throw ShapeError(
        concat("activation_linear: bias ", text(bias.shape()), " does not fit weight ", text(weight.shape())));
  if (mask && mask.shape() != Shape<2>{any.extent(0), any.extent(R - 1)})
    throw ShapeError(
        concat("activation_linear: input of shape ", text(any.shape()), " does not fit the mask ", text(mask.shape())));
  const Var<B, R> x = rowwise(any);
  auto& ctx = x.context();
  const Var<B, 2> w = ctx.lift(weight);
  const Var<B, 1> b = ctx.lift(bias);
  const auto drop = [mask](Context<B>& c, const Tensor<B, R>& a) {
    if (mask && a.size() > 0)
      kernel::scale_utterances(c.backend(), static_cast<const typename B::Scalar*>(a.data()), mask.in(),
                               a.size() / mask.size(), a.data(), false);
  };
  const auto activate = [f, drop](Context<B>& c, const Var<B, R>& from) {
    const Tensor<B, R> a = c.empty(from.shape());
    using kernel::map_forward;
    map_forward(c.backend(), f, as_rows(from.in()), as_rows(a.out()));
    drop(c, a);
    return a;
  };
  Shape<R> shape = x.shape();
  shape[R - 1] = weight.extent(0);
  auto y = ctx.empty(shape);
  {
    const Tensor<B, R> a = activate(ctx, x);
    kernel::linear_forward(ctx.backend(), as_rows(a.in()), w.in(), b ? b.in().data : nullptr, as_rows(y.out()));
  }
  return record(
      std::move(y),
      [x, w, b, f, activate, drop](Context<B>& c, const Tensor<B, R>& dy) {
        using S = typename B::Scalar;
        const auto dw = c.sink(w);
        if (dw) {
          const Tensor<B, R> a = activate(c, x);
          kernel::linear_backward(c.backend(), as_rows(dy.in()), as_rows(a.in()), w.in(), Sink<S, 2>{}, dw,
                                  Sink<S, 1>{});
        }
        if (auto db = c.sink(b)) kernel::column_sum(c.backend(), as_rows(dy.in()), db);
        if (auto dx = c.sink(x)) {
          const Tensor<B, R> da = c.empty(x.shape());
          kernel::linear_backward(c.backend(), as_rows(dy.in()), as_rows(x.in()), w.in(),
                                  as_rows(Sink<S, R>(da.data(), da.shape(), false)), Sink<S, 2>{}, Sink<S, 1>{});
          drop(c, da);
          using kernel::map_backward;
          map_backward(c.backend(), f, as_rows(da.in()), as_rows(x.in()), as_rows(dx));
        }
      },
      x, w, b);
}

}  // namespace phonaut
