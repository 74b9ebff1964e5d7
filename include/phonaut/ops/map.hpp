#pragma once
// Elementwise functions. A function is a formula struct with `value(x)` and `slope(x)`, templates over the number type,
// so that one text serves doubles, dual numbers, SIMD lanes and GPU threads.
#include "phonaut/ops/shape.hpp"

namespace phonaut {

namespace kernel {

template <class F, class S>
void map_forward(const Reference&, F f, View<const S, 2> x, View<S, 2> y) {
  for (long r = 0; r < x.shape[0]; ++r)
    for (long c = 0; c < x.shape[1]; ++c) y.row(r)[c] = f.value(x.row(r)[c]);
}
template <class F, class S>
void map_backward(const Reference&, F f, View<const S, 2> dy, View<const S, 2> x, Sink<S, 2> dx) {
  for (long r = 0; r < x.shape[0]; ++r)
    for (long c = 0; c < x.shape[1]; ++c) dx.put(r * x.shape[1] + c, dy.row(r)[c] * f.slope(x.row(r)[c]));
}

}  // namespace kernel

/// y = f(x), element by element; x of any shape.
template <class F, class B, size_t R>
Var<B, R> map(const Var<B, R>& any, F f = {}) {
  const Var<B, R> x = rowwise(any);
  auto y = x.context().empty(x.shape());
  using kernel::map_forward;  // the loops above, or kernels that stand beside F (ops/formula/kernels.hpp)
  map_forward(x.context().backend(), f, as_rows(x.in()), as_rows(y.out()));
  return record(
      std::move(y),
      [x, f](Context<B>& ctx, const Tensor<B, R>& dy) {
        using kernel::map_backward;
        if (auto dx = ctx.sink(x)) map_backward(ctx.backend(), f, as_rows(dy.in()), as_rows(x.in()), as_rows(dx));
      },
      x);
}

}  // namespace phonaut
