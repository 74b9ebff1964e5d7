#pragma once
// Sums of a function of two values, element by element: the shape of most regression losses and of the KL divergence.
// A formula gives `value(x, y)` and `slopes(x, y)`, its two partial derivatives, over any number type.
#include "phonaut/ops/formula/pair.hpp"
#include "phonaut/ops/shape.hpp"
#include "phonaut/ops/wide.hpp"

namespace phonaut {

namespace kernel {

/// *out = scale · Σ f(x, y).
template <class F, class S>
void pair_sum(const Reference&, F f, double scale, View<const S, 2> x, View<const S, 2> y, S* out) {
  Wide<S> total = 0;
  for (long r = 0; r < x.shape[0]; ++r)
    for (long c = 0; c < x.shape[1]; ++c) total += Wide<S>(f.value(x.row(r)[c], y.row(r)[c]));
  *out = S(Wide<S>(scale) * total);
}
/// out[c] = scale · Σ_r f(x[r, c], y[r, c]).
template <class F, class S>
void pair_columns(const Reference&, F f, double scale, View<const S, 2> x, View<const S, 2> y, S* out) {
  for (long c = 0; c < x.shape[1]; ++c) {
    Wide<S> total = 0;
    for (long r = 0; r < x.shape[0]; ++r) total += Wide<S>(f.value(x.row(r)[c], y.row(r)[c]));
    out[c] = S(Wide<S>(scale) * total);
  }
}
/// dx = gain · scale · ∂f/∂x and the same for y. `gain` has one entry for each column, or one for all (step 0).
template <class F, class S>
void pair_backward(const Reference&, F f, double scale, const S* gain, long step, View<const S, 2> x,
                   View<const S, 2> y, Sink<S, 2> dx, Sink<S, 2> dy) {
  for (long r = 0; r < x.shape[0]; ++r)
    for (long c = 0; c < x.shape[1]; ++c) {
      const formula::Slopes<S> slope = f.slopes(x.row(r)[c], y.row(r)[c]);
      const S g = S(scale) * gain[c * step];
      if (dx) dx.put(r * x.shape[1] + c, g * slope.x);
      if (dy) dy.put(r * x.shape[1] + c, g * slope.y);
    }
}

}  // namespace kernel

namespace detail {

/// scale · Σ f(x, y) over all elements.
template <class F, class B, size_t R>
Var<B, 0> pair_sum(const char* op, F f, double scale, const Var<B, R>& any_x, const Var<B, R>& any_y) {
  check_same_shape(op, "x", any_x.shape(), "y", any_y.shape());
  const Var<B, R> x = rowwise(any_x), y = rowwise(any_y);
  auto& ctx = x.context();
  auto out = ctx.empty(Shape<0>{});
  using kernel::pair_sum;  // the loops above, or kernels that stand beside F
  pair_sum(ctx.backend(), f, scale, as_rows(x.in()), as_rows(y.in()), out.data());
  return record(
      std::move(out),
      [x, y, f, scale](Context<B>& c, const Tensor<B, 0>& dout) {
        const auto dx = c.sink(x), dy = c.sink(y);  // in this order: x and y may be the same value
        using kernel::pair_backward;
        pair_backward(c.backend(), f, scale, static_cast<const typename B::Scalar*>(dout.data()), 0, as_rows(x.in()),
                      as_rows(y.in()), as_rows(dx), as_rows(dy));
      },
      x, y);
}

/// scale · Σ f(x, y) over rows, for each column: (rows, C) -> (C).
template <class F, class B>
Var<B, 1> pair_columns(const char* op, F f, double scale, const Var<B, 2>& any_x, const Var<B, 2>& any_y) {
  check_same_shape(op, "x", any_x.shape(), "y", any_y.shape());
  const Var<B, 2> x = rowwise(any_x), y = rowwise(any_y);
  auto& ctx = x.context();
  auto out = ctx.empty(Shape<1>{x.extent(1)});
  using kernel::pair_columns;  // the loops above, or kernels that stand beside F
  pair_columns(ctx.backend(), f, scale, x.in(), y.in(), out.data());
  return record(
      std::move(out),
      [x, y, f, scale](Context<B>& c, const Tensor<B, 1>& dout) {
        const auto dx = c.sink(x), dy = c.sink(y);
        using kernel::pair_backward;
        pair_backward(c.backend(), f, scale, static_cast<const typename B::Scalar*>(dout.data()), 1, x.in(), y.in(), dx,
                      dy);
      },
      x, y);
}

/// 1 / n, and 0 for n = 0: the mean of nothing is 0.
inline double inverse(long n) { return n > 0 ? 1.0 / static_cast<double>(n) : 0.0; }

}  // namespace detail

}  // namespace phonaut
