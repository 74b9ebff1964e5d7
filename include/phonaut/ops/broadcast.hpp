#pragma once
// A vector of channels added to, or multiplied into, every frame; positions added to every utterance.
#include "phonaut/ops/arithmetic.hpp"
#include "phonaut/ops/column_sum.hpp"
#include "phonaut/ops/wide.hpp"

namespace phonaut {

namespace kernel {

/// y[r, c] = x[r, c] + b[c].
template <class S>
void add_columns(const Reference&, View<const S, 2> x, const S* b, View<S, 2> y) {
  for (long r = 0; r < x.shape[0]; ++r)
    for (long c = 0; c < x.shape[1]; ++c) y.row(r)[c] = x.row(r)[c] + b[c];
}
/// y[r, c] = x[r, c] g[c].
template <class S>
void scale_columns(const Reference&, View<const S, 2> x, const S* g, Sink<S, 2> y) {
  for (long r = 0; r < x.shape[0]; ++r)
    for (long c = 0; c < x.shape[1]; ++c) y.put(r * x.shape[1] + c, x.row(r)[c] * g[c]);
}
/// y[c] = Σ_r x[r, c] z[r, c].
template <class S>
void column_dot(const Reference&, View<const S, 2> x, View<const S, 2> z, Sink<S, 1> y) {
  for (long c = 0; c < x.shape[1]; ++c) {
    Wide<S> total = 0;
    for (long r = 0; r < x.shape[0]; ++r) total += Wide<S>(x.row(r)[c]) * Wide<S>(z.row(r)[c]);
    y.put(c, S(total));
  }
}

void add_columns(const Cpu& cpu, View<const float, 2> x, const float* b, View<float, 2> y);
void scale_columns(const Cpu& cpu, View<const float, 2> x, const float* g, Sink<float, 2> y);
void column_dot(const Cpu& cpu, View<const float, 2> x, View<const float, 2> z, Sink<float, 1> y);
void add_columns(const Cuda& cuda, View<const float, 2> x, const float* b, View<float, 2> y);
void scale_columns(const Cuda& cuda, View<const float, 2> x, const float* g, Sink<float, 2> y);
void column_dot(const Cuda& cuda, View<const float, 2> x, View<const float, 2> z, Sink<float, 1> y);

}  // namespace kernel

/// x (…, C) + b (C).
template <class B, size_t R>
Var<B, R> add_channels(const Var<B, R>& any, Weight<B, 1> bias) {
  check_channels("add_channels", any.shape(), bias.extent(0), "the vector ", bias.shape());
  const Var<B, R> x = rowwise(any);
  auto& ctx = x.context();
  const Var<B, 1> b = ctx.lift(bias);
  auto y = ctx.empty(x.shape());
  kernel::add_columns(ctx.backend(), as_rows(x.in()), b.in().data, as_rows(y.out()));
  return record(
      std::move(y),
      [x = target(x), b](Context<B>& c, const Tensor<B, R>& dy) {
        if (auto db = c.sink(b)) kernel::column_sum(c.backend(), as_rows(dy.in()), db);
        detail::hand_on(c, dy, x);
      },
      x, b);
}

/// x (…, C) · g (C).
template <class B, size_t R>
Var<B, R> scale_channels(const Var<B, R>& any, Weight<B, 1> gain) {
  using S = typename B::Scalar;
  check_channels("scale_channels", any.shape(), gain.extent(0), "the vector ", gain.shape());
  const Var<B, R> x = rowwise(any);
  auto& ctx = x.context();
  const Var<B, 1> g = ctx.lift(gain);
  auto y = ctx.empty(x.shape());
  kernel::scale_columns(ctx.backend(), as_rows(x.in()), g.in().data, as_rows(Sink<S, R>(y.data(), y.shape(), false)));
  return record(
      std::move(y),
      [x, g](Context<B>& c, const Tensor<B, R>& dy) {
        if (auto dx = c.sink(x)) kernel::scale_columns(c.backend(), as_rows(dy.in()), g.in().data, as_rows(dx));
        if (auto dg = c.sink(g)) kernel::column_dot(c.backend(), as_rows(dy.in()), as_rows(x.in()), dg);
      },
      x, g);
}

/// x (N, T, C) + p (T, C) for every utterance: positions.
template <class B>
Var<B, 3> add_frames(const Var<B, 3>& any_x, const Var<B, 2>& any_p) {
  using S = typename B::Scalar;
  const Shape<3> shape = any_x.shape();
  if (any_p.shape() != Shape<2>{shape[1], shape[2]})
    throw ShapeError(concat("add_frames: input is ", text(shape), " but the frames to add are ", text(any_p.shape())));
  const Var<B, 3> x = packed(any_x);
  const Var<B, 2> p = packed(any_p);
  auto& ctx = x.context();
  auto y = ctx.empty(shape);
  const long each = p.size();
  for (long n = 0; n < shape[0]; ++n)
    kernel::axpby(ctx.backend(), S(1), View<const S, 1>(x.in().data + n * each, {each}), S(1), detail::flat(p.in()),
                  y.data() + n * each, false);
  return record(
      std::move(y),
      [x = target(x), p = target(p)](Context<B>& c, const Tensor<B, 3>& dy) {
        if (auto dp = c.sink(p)) {
          if (x.extent(0) == 0 && !dp.add) kernel::fill(c.backend(), dp.data, dp.size(), S(0));
          for (long n = 0; n < x.extent(0); ++n)
            kernel::scale(c.backend(), S(1), View<const S, 1>(dy.data() + n * p.size(), {p.size()}), dp.data,
                          dp.add || n > 0);
        }
        detail::hand_on(c, dy, x);
      },
      x, p);
}

}  // namespace phonaut
