#pragma once
// The logarithm of the softmax, over the innermost axis.
#include "phonaut/core/math.hpp"
#include "phonaut/ops/shape.hpp"
#include "phonaut/ops/wide.hpp"

namespace phonaut {

namespace kernel {

/// y = x - max - log Σ exp(x - max), row by row.
template <class S>
void log_softmax_forward(const Reference&, View<const S, 2> x, View<S, 2> y) {
  using math::exp;
  using math::log;
  using math::max;
  using W = Wide<S>;
  const long width = x.shape[1];
  for (long r = 0; r < x.shape[0]; ++r) {
    const S* from = x.row(r);
    W largest = width > 0 ? W(from[0]) : W(0), total = 0;
    for (long c = 1; c < width; ++c) largest = max(largest, W(from[c]));
    for (long c = 0; c < width; ++c) total += exp(W(from[c]) - largest);
    const W shift = largest + log(total);
    for (long c = 0; c < width; ++c) y.row(r)[c] = S(W(from[c]) - shift);
  }
}
/// dx = dy - exp(y) Σ dy.
template <class S>
void log_softmax_backward(const Reference&, View<const S, 2> dy, View<const S, 2> y, Sink<S, 2> dx) {
  using math::exp;
  using W = Wide<S>;
  for (long r = 0; r < y.shape[0]; ++r) {
    W total = 0;
    for (long c = 0; c < y.shape[1]; ++c) total += W(dy.row(r)[c]);
    for (long c = 0; c < y.shape[1]; ++c) dx.put(r * y.shape[1] + c, S(W(dy.row(r)[c]) - exp(W(y.row(r)[c])) * total));
  }
}

void log_softmax_forward(const Cpu& cpu, View<const float, 2> x, View<float, 2> y);
void log_softmax_backward(const Cpu& cpu, View<const float, 2> dy, View<const float, 2> y, Sink<float, 2> dx);
void log_softmax_forward(const Cuda& cuda, View<const float, 2> x, View<float, 2> y);
void log_softmax_backward(const Cuda& cuda, View<const float, 2> dy, View<const float, 2> y, Sink<float, 2> dx);

}  // namespace kernel

/// y = x - log Σ exp(x) over the innermost axis of x (…, S).
template <class B, size_t R>
Var<B, R> log_softmax(const Var<B, R>& any) {
  const Var<B, R> x = rowwise(any);
  auto& ctx = x.context();
  auto y = ctx.empty(x.shape());
  kernel::log_softmax_forward(ctx.backend(), as_rows(x.in()), as_rows(y.out()));
  return record(
      y,
      [x = target(x), y](Context<B>& c, const Tensor<B, R>& dy) {
        if (auto dx = c.sink(x))
          kernel::log_softmax_backward(c.backend(), as_rows(dy.in()), as_rows(y.in()), as_rows(dx));
      },
      x);
}

}  // namespace phonaut
