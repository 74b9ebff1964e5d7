#pragma once
// The diagonal of a square matrix: taken out, or replaced.
#include "phonaut/ops/shape.hpp"

namespace phonaut {

namespace kernel {

/// y[i] = x[i, i].
template <class S>
void take_diagonal(const Reference&, View<const S, 2> x, S* y) {
  for (long i = 0; i < x.shape[0]; ++i) y[i] = x.row(i)[i];
}
/// y[i, i] = x[i], or += it; `others` becomes 0 in set mode.
template <class S>
void put_diagonal(const Reference&, const S* x, Sink<S, 2> y) {
  for (long r = 0; r < y.shape[0]; ++r)
    for (long c = 0; c < y.shape[1]; ++c) y.put(r * y.shape[1] + c, r == c ? x[r] : S(0));
}
/// y = x (or y += x) but for the diagonal, which becomes `value` (is left alone).
template <class S>
void copy_off_diagonal(const Reference&, View<const S, 2> x, S value, Sink<S, 2> y) {
  for (long r = 0; r < y.shape[0]; ++r)
    for (long c = 0; c < y.shape[1]; ++c) {
      if (r != c) y.put(r * y.shape[1] + c, x.row(r)[c]);
      else if (!y.add) y.row(r)[c] = value;
    }
}

void take_diagonal(const Cuda& cuda, View<const float, 2> x, float* y);
void put_diagonal(const Cuda& cuda, const float* x, Sink<float, 2> y);
void copy_off_diagonal(const Cuda& cuda, View<const float, 2> x, float value, Sink<float, 2> y);

}  // namespace kernel

namespace detail {

template <class B>
void check_square(const char* op, const Var<B, 2>& x) {
  if (x.extent(0) != x.extent(1)) throw ShapeError(concat(op, ": input of shape ", text(x.shape()), " is not square"));
}

}  // namespace detail

/// The diagonal of x (n, n) -> (n). Throws ShapeError if x is not square, as does its sibling below.
template <class B>
Var<B, 1> diagonal(const Var<B, 2>& x) {
  detail::check_square("diagonal", x);
  auto& ctx = x.context();
  auto y = ctx.empty(Shape<1>{x.extent(0)});
  kernel::take_diagonal(ctx.backend(), x.in(), y.data());
  return record(
      std::move(y),
      [x](Context<B>& c, const Tensor<B, 1>& dy) {
        if (auto dx = c.sink(x))
          kernel::put_diagonal(c.backend(), static_cast<const typename B::Scalar*>(dy.data()), dx);
      },
      x);
}

/// x (n, n) with `value` on the diagonal; no gradient reaches what stood there.
template <class B>
Var<B, 2> with_diagonal(const Var<B, 2>& x, double value) {
  detail::check_square("with_diagonal", x);
  auto& ctx = x.context();
  auto y = ctx.empty(x.shape());
  using S = typename B::Scalar;
  kernel::copy_off_diagonal(ctx.backend(), x.in(), S(value), Sink<S, 2>(y.data(), y.shape(), false));
  return record(
      std::move(y),
      [x](Context<B>& c, const Tensor<B, 2>& dy) {
        if (auto dx = c.sink(x)) kernel::copy_off_diagonal(c.backend(), dy.in(), S(0), dx);
      },
      x);
}

}  // namespace phonaut
