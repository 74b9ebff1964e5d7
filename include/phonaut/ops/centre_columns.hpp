#pragma once
// Means over rows: taken, or taken out.
#include "phonaut/ops/arithmetic.hpp"
#include "phonaut/ops/wide.hpp"

namespace phonaut {

namespace kernel {

/// mean[c] = Σ_r x[r, c] / rows; 0 of no rows.
template <class S>
void column_mean(const Reference&, View<const S, 2> x, S* mean) {
  for (long c = 0; c < x.shape[1]; ++c) {
    Wide<S> total = 0;
    for (long r = 0; r < x.shape[0]; ++r) total += Wide<S>(x.row(r)[c]);
    mean[c] = x.shape[0] > 0 ? S(total / Wide<S>(double(x.shape[0]))) : S(0);
  }
}
/// y[r, c] = a x[c].
template <class S>
void column_spread(const Reference&, S a, const S* x, Sink<S, 2> y) {
  for (long r = 0; r < y.shape[0]; ++r)
    for (long c = 0; c < y.shape[1]; ++c) y.put(r * y.shape[1] + c, a * x[c]);
}
/// y[r, c] = x[r, c] - mean[c].
template <class S>
void subtract_columns(const Reference&, View<const S, 2> x, const S* mean, Sink<S, 2> y) {
  for (long r = 0; r < y.shape[0]; ++r)
    for (long c = 0; c < y.shape[1]; ++c) y.put(r * y.shape[1] + c, x.row(r)[c] - mean[c]);
}

void column_mean(const Cpu& cpu, View<const float, 2> x, float* mean);
void subtract_columns(const Cpu& cpu, View<const float, 2> x, const float* mean, Sink<float, 2> y);
void column_mean(const Cuda& cuda, View<const float, 2> x, float* mean);
void column_spread(const Cuda& cuda, float a, const float* x, Sink<float, 2> y);
void subtract_columns(const Cuda& cuda, View<const float, 2> x, const float* mean, Sink<float, 2> y);

}  // namespace kernel

/// Mean over rows: (rows, C) -> (C).
template <class B>
Var<B, 1> column_mean(const Var<B, 2>& any) {
  const Var<B, 2> x = rowwise(any);
  auto& ctx = x.context();
  auto y = ctx.empty(Shape<1>{x.extent(1)});
  kernel::column_mean(ctx.backend(), x.in(), y.data());
  return record(
      std::move(y),
      [x](Context<B>& c, const Tensor<B, 1>& dy) {
        using S = typename B::Scalar;
        if (auto dx = c.sink(x))
          kernel::column_spread(c.backend(), S(1.0 / static_cast<double>(std::max(1L, x.extent(0)))),
                                static_cast<const S*>(dy.data()), dx);
      },
      x);
}

/// x (rows, C) minus its mean over rows.
template <class B>
Var<B, 2> centre_columns(const Var<B, 2>& any) {
  using S = typename B::Scalar;
  const Var<B, 2> x = rowwise(any);
  auto& ctx = x.context();
  auto y = ctx.empty(x.shape());
  const Tensor<B, 1> mean = ctx.empty(Shape<1>{x.extent(1)});
  kernel::column_mean(ctx.backend(), x.in(), mean.data());
  kernel::subtract_columns(ctx.backend(), x.in(), static_cast<const S*>(mean.data()),
                           Sink<S, 2>(y.data(), y.shape(), false));
  return record(
      std::move(y),
      [x](Context<B>& c, const Tensor<B, 2>& dy) {  // the centring matrix is its own transpose
        auto dx = c.sink(x);
        if (!dx) return;
        const Tensor<B, 1> shift = c.empty(Shape<1>{x.extent(1)});
        kernel::column_mean(c.backend(), dy.in(), shift.data());
        kernel::subtract_columns(c.backend(), dy.in(), static_cast<const S*>(shift.data()), dx);
      },
      x);
}

}  // namespace phonaut
