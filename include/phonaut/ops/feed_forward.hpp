#pragma once
// y = f(x W₁ᵀ + b₁) W₂ᵀ + b₂, the position-wise feed-forward network (Vaswani et al., "Attention is all you need",
// 2017, equation 2), in one node that never holds what lies between whole.
//
// The wide middle is computed for a block of rows at a time and stays in the cache: of a ConvNeXt block over 10 s of
// eight utterances it has 117 MB. The way back computes each block again, which costs a sixth of the op's arithmetic.
// Where that is dearer than memory, linear() and activation_linear() keep the middle.
#include <algorithm>

#include "phonaut/ops/linear.hpp"
#include "phonaut/ops/map.hpp"

namespace phonaut {

namespace detail {

/// Rows of a block: the middle of one is 1 MiB of floats, and packing the weights anew for each costs a few hundredths.
/// A function of the sizes alone, as are the sums of the gradients that depend on it.
inline long feed_forward_rows(long hidden) { return std::max(64L, (1L << 18) / std::max(1L, hidden)); }

template <class S>
View<S, 2> block_of(const View<S, 2>& x, long first, long count) {
  return View<S, 2>(x.data + first * x.stride[0], Shape<2>{count, x.shape[1]}, x.stride);
}
template <class S>
Sink<S, 2> block_of(const Sink<S, 2>& x, long first, long count) {
  return x ? Sink<S, 2>(x.data + first * x.shape[1], Shape<2>{count, x.shape[1]}, x.add) : x;
}

}  // namespace detail

/// y = f(x W₁ᵀ + b₁) W₂ᵀ + b₂: x (…, in), w1 (hidden, in), b1 (hidden), w2 (out, hidden), b2 (out), biases or nothing
/// -> (…, out); f is a formula of ops/formula. Keeps x alone. Throws ShapeError if they do not fit.
template <class F, class B, size_t R>
Var<B, R> feed_forward(const Var<B, R>& any, Weight<B, 2> w1, Weight<B, 1> b1, Weight<B, 2> w2, Weight<B, 1> b2,
                       F f = {}) {
  using S = typename B::Scalar;
  check_channels("feed_forward", any.shape(), w1.extent(1), "the first weight ", w1.shape());
  if (w2.extent(1) != w1.extent(0))
    throw ShapeError(concat("feed_forward: the first weight ", text(w1.shape()),
                            " gives other channels than the second, ", text(w2.shape()), ", takes"));
  if ((b1 && b1.extent(0) != w1.extent(0)) || (b2 && b2.extent(0) != w2.extent(0)))
    throw ShapeError(concat("feed_forward: biases ", b1 ? text(b1.shape()) : "()", " and ",
                            b2 ? text(b2.shape()) : "()", " do not fit weights ", text(w1.shape()), " and ",
                            text(w2.shape())));
  const Var<B, R> x = rowwise(any);
  auto& ctx = x.context();
  const Var<B, 2> up = ctx.lift(w1), down = ctx.lift(w2);
  const Var<B, 1> up_bias = ctx.lift(b1), down_bias = ctx.lift(b2);
  const long hidden = up.extent(0), block = detail::feed_forward_rows(hidden);
  const auto data_of = [](const Var<B, 1>& bias) { return bias ? bias.in().data : nullptr; };
  Shape<R> shape = x.shape();
  shape[R - 1] = down.extent(0);
  auto y = ctx.empty(shape);
  {
    const auto from = as_rows(x.in());
    const auto to = as_rows(y.out());
    const Tensor<B, 2> wide = ctx.empty(Shape<2>{std::min(block, from.shape[0]), hidden});
    for (long first = 0; first < from.shape[0]; first += block) {
      const long count = std::min(block, from.shape[0] - first);
      const View<S, 2> middle = detail::block_of(wide.out(), 0, count);
      const View<const S, 2> seen(middle.data, middle.shape, middle.stride);
      constexpr auto at_once = kernel::activation_of<F>;
      kernel::linear_forward(ctx.backend(), detail::block_of(from, first, count), up.in(), data_of(up_bias), middle,
                             at_once);
      if constexpr (at_once == kernel::Activation::none) {
        using kernel::map_forward;
        map_forward(ctx.backend(), f, seen, middle);
      }
      kernel::linear_forward(ctx.backend(), seen, down.in(), data_of(down_bias), detail::block_of(to, first, count));
    }
  }
  return record(
      std::move(y),
      [x, up, up_bias, down, down_bias, f, hidden, block, data_of](Context<B>& c, const Tensor<B, R>& dy) {
        const auto from = as_rows(x.in()), slope = as_rows(dy.in());
        const auto dx = as_rows(c.sink(x));
        auto dup = c.sink(up), ddown = c.sink(down);
        auto dup_bias = c.sink(up_bias), ddown_bias = c.sink(down_bias);
        const Shape<2> middle{std::min(block, from.shape[0]), hidden};
        const Tensor<B, 2> wide = c.empty(middle), active = c.empty(middle), dactive = c.empty(middle);
        const auto part = [](const Tensor<B, 2>& t, long count) {
          return View<const S, 2>(detail::block_of(t.in(), 0, count));
        };
        // Without rows once too: gradients that nothing reaches are zeros.
        for (long first = 0; first == 0 || first < from.shape[0]; first += block) {
          const long count = std::min(block, from.shape[0] - first);
          const auto x_block = detail::block_of(from, first, count), dy_block = detail::block_of(slope, first, count);
          const auto whole = [count, hidden](const Tensor<B, 2>& t) {
            return Sink<S, 2>(t.data(), Shape<2>{count, hidden}, false);
          };
          kernel::linear_forward(c.backend(), x_block, up.in(), data_of(up_bias),
                                 detail::block_of(wide.out(), 0, count));
          using kernel::map_backward;
          using kernel::map_forward;
          if (ddown) map_forward(c.backend(), f, part(wide, count), detail::block_of(active.out(), 0, count));
          kernel::linear_backward(c.backend(), dy_block, part(active, count), down.in(), whole(dactive), ddown,
                                  ddown_bias);
          // In the place of what f made, which has been used.
          map_backward(c.backend(), f, part(dactive, count), part(wide, count), whole(active));
          kernel::linear_backward(c.backend(), part(active, count), x_block, up.in(),
                                  detail::block_of(dx, first, count), dup, dup_bias);
          dup.add = ddown.add = dup_bias.add = ddown_bias.add = true;
        }
      },
      x, up, up_bias, down, down_bias);
}

}  // namespace phonaut
