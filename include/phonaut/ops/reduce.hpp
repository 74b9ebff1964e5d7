#pragma once
// Sum, mean and maximum over the innermost axis.
#include <cstdint>

#include "phonaut/ops/shape.hpp"
#include "phonaut/ops/wide.hpp"

namespace phonaut {

namespace kernel {

/// y[r] = a Σ_c x[r, c].
template <class S>
void row_sum(const Reference&, S a, View<const S, 2> x, S* y) {
  for (long r = 0; r < x.shape[0]; ++r) {
    Wide<S> total = 0;
    for (long c = 0; c < x.shape[1]; ++c) total += Wide<S>(x.row(r)[c]);
    y[r] = S(Wide<S>(a) * total);
  }
}
/// y[r, c] = a x[r].
template <class S>
void row_spread(const Reference&, S a, const S* x, Sink<S, 2> y) {
  for (long r = 0; r < y.shape[0]; ++r)
    for (long c = 0; c < y.shape[1]; ++c) y.put(r * y.shape[1] + c, a * x[r]);
}
/// y[r] = max_c x[r, c], at column at[r]: the first one if several are equal.
template <class S>
void row_max_forward(const Reference&, View<const S, 2> x, S* y, std::int32_t* at) {
  for (long r = 0; r < x.shape[0]; ++r) {
    const S* from = x.row(r);
    long best = 0;
    for (long c = 1; c < x.shape[1]; ++c)
      if (from[best] < from[c]) best = c;
    y[r] = from[best];
    at[r] = static_cast<std::int32_t>(best);
  }
}
/// dx[r, c] = dy[r] at column at[r], 0 elsewhere.
template <class S>
void row_max_backward(const Reference&, const S* dy, const std::int32_t* at, Sink<S, 2> dx) {
  for (long r = 0; r < dx.shape[0]; ++r) {
    if (!dx.add) std::fill_n(dx.row(r), dx.shape[1], S(0));
    dx.row(r)[at[r]] += dy[r];
  }
}

void row_sum(const Cpu& cpu, float a, View<const float, 2> x, float* y);
void row_spread(const Cpu& cpu, float a, const float* x, Sink<float, 2> y);
void row_sum(const Cuda& cuda, float a, View<const float, 2> x, float* y);
void row_spread(const Cuda& cuda, float a, const float* x, Sink<float, 2> y);
void row_max_forward(const Cuda& cuda, View<const float, 2> x, float* y, std::int32_t* at);
void row_max_backward(const Cuda& cuda, const float* dy, const std::int32_t* at, Sink<float, 2> dx);

}  // namespace kernel

namespace detail {

template <size_t R>
Shape<R - 1> without_last(const Shape<R>& shape) {
  Shape<R - 1> outer{};
  std::copy_n(shape.begin(), R - 1, outer.begin());
  return outer;
}

/// a Σ x over the innermost axis.
template <class B, size_t R>
Var<B, R - 1> scaled_row_sum(const Var<B, R>& any, typename B::Scalar a) {
  const Var<B, R> x = rowwise(any);
  auto& ctx = x.context();
  auto y = ctx.empty(without_last(x.shape()));
  kernel::row_sum(ctx.backend(), a, as_rows(x.in()), y.data());
  return record(
      std::move(y),
      [x = target(x), a](Context<B>& c, const Tensor<B, R - 1>& dy) {
        if (auto dx = c.sink(x))
          kernel::row_spread(c.backend(), a, static_cast<const typename B::Scalar*>(dy.data()), as_rows(dx));
      },
      x);
}

}  // namespace detail

/// Σ over the innermost axis: (…, C) -> (…).
template <class B, size_t R>
Var<B, R - 1> sum_last(const Var<B, R>& x) {
  return detail::scaled_row_sum(x, typename B::Scalar(1));
}
/// Mean over the innermost axis: (…, C) -> (…); 0 where C is 0.
template <class B, size_t R>
Var<B, R - 1> mean_last(const Var<B, R>& x) {
  return detail::scaled_row_sum(x, typename B::Scalar(1.0 / static_cast<double>(std::max(1L, x.extent(R - 1)))));
}
/// Maximum over the innermost axis: (…, C) -> (…). The gradient goes to the first of equal maxima. Throws ShapeError
/// where C is 0.
template <class B, size_t R>
Var<B, R - 1> max_last(const Var<B, R>& any) {
  if (any.extent(R - 1) == 0)
    throw ShapeError(concat("max_last: input of shape ", text(any.shape()), " has no entries to choose from"));
  const Var<B, R> x = rowwise(any);
  auto& ctx = x.context();
  auto y = ctx.empty(detail::without_last(x.shape()));
  const auto at = ctx.template empty_of<std::int32_t, 1>(Shape<1>{y.size()});
  kernel::row_max_forward(ctx.backend(), as_rows(x.in()), y.data(), at.data());
  return record(
      std::move(y),
      [x = target(x), at](Context<B>& c, const Tensor<B, R - 1>& dy) {
        if (auto dx = c.sink(x))
          kernel::row_max_backward(c.backend(), static_cast<const typename B::Scalar*>(dy.data()),
                                   static_cast<const std::int32_t*>(at.data()), as_rows(dx));
      },
      x);
}

}  // namespace phonaut
