#pragma once
// Gated linear unit. Dauphin et al., "Language modeling with gated convolutional networks", 2016.
#include "phonaut/core/math.hpp"
#include "phonaut/ops/shape.hpp"

namespace phonaut {

namespace kernel {

/// y = a sigmoid(b), where a row of x (rows, 2C) is a (C) followed by b (C).
template <class S>
void glu_forward(const Reference&, View<const S, 2> x, View<S, 2> y) {
  using math::sigmoid;
  const long width = y.shape[1];
  for (long r = 0; r < y.shape[0]; ++r)
    for (long c = 0; c < width; ++c) y.row(r)[c] = x.row(r)[c] * sigmoid(x.row(r)[width + c]);
}
/// With s = sigmoid(b): da = dy s, db = dy a s (1 - s).
template <class S>
void glu_backward(const Reference&, View<const S, 2> dy, View<const S, 2> x, Sink<S, 2> dx) {
  using math::sigmoid;
  const long width = dy.shape[1];
  for (long r = 0; r < dy.shape[0]; ++r)
    for (long c = 0; c < width; ++c) {
      const S s = sigmoid(x.row(r)[width + c]), g = dy.row(r)[c] * s;
      dx.put(r * 2 * width + c, g);
      dx.put(r * 2 * width + width + c, g * x.row(r)[c] * (S(1) - s));
    }
}

void glu_forward(const Cpu& cpu, View<const float, 2> x, View<float, 2> y);
void glu_backward(const Cpu& cpu, View<const float, 2> dy, View<const float, 2> x, Sink<float, 2> dx);
void glu_forward(const Cuda& cuda, View<const float, 2> x, View<float, 2> y);
void glu_backward(const Cuda& cuda, View<const float, 2> dy, View<const float, 2> x, Sink<float, 2> dx);

}  // namespace kernel

/// y = a sigmoid(b) with x (…, 2C) = [a, b] -> (…, C). Throws ShapeError for an odd number of channels.
template <class B, size_t R>
Var<B, R> glu(const Var<B, R>& any) {
  if (any.extent(R - 1) % 2 != 0)
    throw ShapeError(concat("glu: input of shape ", text(any.shape()), " has ", any.extent(R - 1),
                            " channels, but two halves need an even number"));
  const Var<B, R> x = rowwise(any);
  auto& ctx = x.context();
  Shape<R> shape = x.shape();
  shape[R - 1] /= 2;
  auto y = ctx.empty(shape);
  kernel::glu_forward(ctx.backend(), as_rows(x.in()), as_rows(y.out()));
  return record(
      std::move(y),
      [x](Context<B>& c, const Tensor<B, R>& dy) {
        if (auto dx = c.sink(x)) kernel::glu_backward(c.backend(), as_rows(dy.in()), as_rows(x.in()), as_rows(dx));
      },
      x);
}

}  // namespace phonaut
