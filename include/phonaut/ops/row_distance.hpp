#pragma once
// Powers of Euclidean distances between rows.
#include "phonaut/core/math.hpp"
#include "phonaut/ops/shape.hpp"
#include "phonaut/ops/wide.hpp"

namespace phonaut {

namespace kernel {

/// y[r] = |a[r] - b[r]|^power.
template <class S>
void row_distance_forward(const Reference&, double power, View<const S, 2> a, View<const S, 2> b, S* y) {
  using math::exp;
  using math::log;
  using W = Wide<S>;
  for (long r = 0; r < a.shape[0]; ++r) {
    W square = 0;
    for (long c = 0; c < a.shape[1]; ++c)
      square += (W(a.row(r)[c]) - W(b.row(r)[c])) * (W(a.row(r)[c]) - W(b.row(r)[c]));
    y[r] = square > W(0) ? S(exp(W(0.5 * power) * log(square))) : S(0);
  }
}
/// da[r] = dy[r] power d^(power - 2) (a - b), db = -da; 0 where the distance is 0.
template <class S>
void row_distance_backward(const Reference&, double power, const S* dy, View<const S, 2> a, View<const S, 2> b,
                           Sink<S, 2> da, Sink<S, 2> db) {
  using math::exp;
  using math::log;
  using W = Wide<S>;
  for (long r = 0; r < a.shape[0]; ++r) {
    const auto apart = [&](long c) { return W(a.row(r)[c]) - W(b.row(r)[c]); };
    W square = 0;
    for (long c = 0; c < a.shape[1]; ++c) square += apart(c) * apart(c);
    const W factor = square > W(0) ? W(dy[r]) * W(power) * exp(W(0.5 * power - 1) * log(square)) : W(0);
    for (long c = 0; c < a.shape[1]; ++c) {
      const S g = S(factor * apart(c));
      if (da) da.put(r * a.shape[1] + c, g);
      if (db) db.put(r * a.shape[1] + c, -g);
    }
  }
}

void row_distance_forward(const Cuda& cuda, double power, View<const float, 2> a, View<const float, 2> b, float* y);
void row_distance_backward(const Cuda& cuda, double power, const float* dy, View<const float, 2> a,
                           View<const float, 2> b, Sink<float, 2> da, Sink<float, 2> db);

}  // namespace kernel

/// |a - b|^power along the innermost axis: (rows, C) -> (rows). The gradient at equal rows is 0. Throws ShapeError if
/// the shapes differ.
template <class B>
Var<B, 1> row_distance(const Var<B, 2>& any_a, const Var<B, 2>& any_b, double power = 1) {
  check_same_shape("row_distance", "a", any_a.shape(), "b", any_b.shape());
  const Var<B, 2> a = rowwise(any_a), b = rowwise(any_b);
  auto& ctx = a.context();
  auto y = ctx.empty(Shape<1>{a.extent(0)});
  kernel::row_distance_forward(ctx.backend(), power, a.in(), b.in(), y.data());
  return record(
      std::move(y),
      [a, b, power](Context<B>& c, const Tensor<B, 1>& dy) {
        const auto da = c.sink(a), db = c.sink(b);
        kernel::row_distance_backward(c.backend(), power, static_cast<const typename B::Scalar*>(dy.data()), a.in(),
                                      b.in(), da, db);
      },
      a, b);
}

}  // namespace phonaut
