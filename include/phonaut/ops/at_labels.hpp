#pragma once
// One entry of each row, chosen by a label: taken out, or put in its place.
#include <cstdint>

#include "phonaut/ops/arithmetic.hpp"

namespace phonaut {

namespace detail {

/// Throws ShapeError unless there is a label for each row, below the number of columns.
template <class B>
void check_at(const char* op, const Shape<2>& x, const Tensor<B, 1, std::int32_t>& at) {
  if (at.size() != x[0])
    throw ShapeError(concat(op, ": there are ", at.size(), " labels for an input of shape ", text(x)));
  if constexpr (std::is_same_v<typename B::Memory, HostMemory>)
    for (long r = 0; r < at.size(); ++r)
      if (at.data()[r] >= x[1])
        throw ShapeError(concat(op, ": label ", at.data()[r], " of row ", r, " is not below the ", x[1], " columns"));
}

}  // namespace detail

namespace kernel {

/// y[r] = x[r, at[r]]; 0 where the label is negative.
template <class S>
void take_at(const Reference&, View<const S, 2> x, const std::int32_t* at, S* y) {
  for (long r = 0; r < x.shape[0]; ++r) y[r] = at[r] < 0 ? S(0) : x.row(r)[at[r]];
}
/// y = x, but y[r, at[r]] = values[r], or 0 where `values` is null.
template <class S>
void put_at(const Reference&, View<const S, 2> x, const std::int32_t* at, const S* values, Sink<S, 2> y) {
  for (long r = 0; r < x.shape[0]; ++r)
    for (long c = 0; c < x.shape[1]; ++c)
      y.put(r * x.shape[1] + c, c != at[r] ? x.row(r)[c] : values ? values[r] : S(0));
}
/// dx[r, at[r]] += dy[r].
template <class S>
void add_at(const Reference&, const S* dy, const std::int32_t* at, View<S, 2> dx) {
  for (long r = 0; r < dx.shape[0]; ++r)
    if (at[r] >= 0) dx.row(r)[at[r]] += dy[r];
}

void take_at(const Cuda& cuda, View<const float, 2> x, const std::int32_t* at, float* y);
void put_at(const Cuda& cuda, View<const float, 2> x, const std::int32_t* at, const float* values, Sink<float, 2> y);
void add_at(const Cuda& cuda, const float* dy, const std::int32_t* at, View<float, 2> dx);

}  // namespace kernel

/// x[r, at[r]] of each row r: x (rows, K), one label for each row -> (rows); 0 where the label is negative. Throws
/// ShapeError for another number of labels or one beyond the columns.
template <class B>
Var<B, 1> take_at(const Var<B, 2>& any, const Tensor<B, 1, std::int32_t>& at) {
  using S = typename B::Scalar;
  detail::check_at("take_at", any.shape(), at);
  const Var<B, 2> x = rowwise(any);
  auto& ctx = x.context();
  auto y = ctx.empty(Shape<1>{x.extent(0)});
  kernel::take_at(ctx.backend(), x.in(), at.data(), y.data());
  return record(
      std::move(y),
      [x = target(x), at](Context<B>& c, const Tensor<B, 1>& dy) {
        const auto dx = c.sink(x);
        if (!dx) return;
        if (!dx.add) kernel::fill(c.backend(), dx.data, dx.size(), S(0));
        kernel::add_at(c.backend(), static_cast<const S*>(dy.data()), at.data(), View<S, 2>(dx));
      },
      x);
}

/// x with values[r] in place of x[r, at[r]]; rows with a negative label stay as they are. Throws as `take_at`, and
/// ShapeError unless there is a value for each row.
template <class B>
Var<B, 2> put_at(const Var<B, 2>& any, const Tensor<B, 1, std::int32_t>& at, const Var<B, 1>& any_values) {
  using S = typename B::Scalar;
  detail::check_at("put_at", any.shape(), at);
  check_same_shape("put_at", "labels", at.shape(), "values", any_values.shape());
  const Var<B, 2> x = rowwise(any);
  const Var<B, 1> values = packed(any_values);
  auto& ctx = x.context();
  auto y = ctx.empty(x.shape());
  kernel::put_at(ctx.backend(), x.in(), at.data(), values.in().data, Sink<S, 2>(y.data(), y.shape(), false));
  return record(
      std::move(y),
      [x, values, at](Context<B>& c, const Tensor<B, 2>& dy) {
        if (auto dx = c.sink(x))
          kernel::put_at(c.backend(), dy.in(), at.data(), static_cast<const S*>(nullptr), Sink<S, 2>(dx));
        const auto dvalues = c.sink(values);
        if (!dvalues) return;
        const Tensor<B, 1> part = c.empty(values.shape());
        kernel::take_at(c.backend(), dy.in(), at.data(), part.data());
        if (dvalues.add) kernel::accumulate(c.backend(), part.in(), dvalues.data);
        else kernel::scale(c.backend(), S(1), part.in(), dvalues.data, false);
      },
      x, values);
}

}  // namespace phonaut
