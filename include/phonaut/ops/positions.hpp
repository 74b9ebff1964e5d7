#pragma once
// Where a frame stands in time: sinusoids to add, and rotations of queries and keys.
#include <cmath>

#include "phonaut/ops/shape.hpp"

namespace phonaut {

namespace kernel {

/// cosine and sine (T, pairs) of (first + t) · base^(-i / pairs). Computed in double: each row is the one before it,
/// turned by a fixed angle, which stays exact to 1e-10 over a million frames.
template <class S>
void position_angles(const Reference&, double base, long first, View<S, 2> cosine, View<S, 2> sine) {
  const long pairs = cosine.shape[1];
  for (long i = 0; i < pairs; ++i) {
    const double turn = std::pow(base, -static_cast<double>(i) / static_cast<double>(pairs));
    double c = std::cos(static_cast<double>(first) * turn), s = std::sin(static_cast<double>(first) * turn);
    const double step_c = std::cos(turn), step_s = std::sin(turn);
    for (long t = 0; t < cosine.shape[0]; ++t) {
      cosine.row(t)[i] = S(c);
      sine.row(t)[i] = S(s);
      const double next = c * step_c - s * step_s;
      s = s * step_c + c * step_s;
      c = next;
    }
  }
}

/// Turns the pair (x[i], x[i + pairs]) of every head by its angle; `sign` -1 turns back. y = or += (by `add`).
template <class S>
void rotate(const Reference&, View<const S, 3> x, View<const S, 2> cosine, View<const S, 2> sine, S sign, View<S, 3> y,
            bool add) {
  const long pairs = cosine.shape[1], heads = x.shape[2] / (2 * pairs);
  for (long n = 0; n < x.shape[0]; ++n)
    for (long t = 0; t < x.shape[1]; ++t)
      for (long h = 0; h < heads; ++h) {
        const S* a = x.data + n * x.stride[0] + t * x.stride[1] + 2 * pairs * h;
        S* to = y.data + n * y.stride[0] + t * y.stride[1] + 2 * pairs * h;
        const S *c = cosine.row(t), *s = sine.row(t);
        for (long i = 0; i < pairs; ++i) {
          const S real = a[i] * c[i] - sign * a[i + pairs] * s[i], imaginary = sign * a[i] * s[i] + a[i + pairs] * c[i];
          to[i] = add ? to[i] + real : real;
          to[i + pairs] = add ? to[i + pairs] + imaginary : imaginary;
        }
      }
}

void position_angles(const Cuda& cuda, double base, long first, View<float, 2> cosine, View<float, 2> sine);
void rotate(const Cuda& cuda, View<const float, 3> x, View<const float, 2> cosine, View<const float, 2> sine,
            float sign, View<float, 3> y, bool add);

}  // namespace kernel

/// Sinusoids for frames first … first + time - 1: (T, C) with sin in the first half of the channels and cos in the
/// second, of t · 10000^(-i / (C / 2)). (Vaswani et al., 2017, with sines and cosines apart instead of alternating.)
/// Throws ShapeError for an odd number of channels.
template <class B>
Tensor<B, 2> sinusoids(Context<B>& ctx, long time, long channels, long first = 0) {
  if (channels % 2 != 0)
    throw ShapeError(concat("sinusoids: ", channels, " channels do not divide into sines and cosines"));
  auto y = ctx.empty(Shape<2>{time, channels});
  auto sine = y.out(), cosine = y.out();
  sine.shape[1] = cosine.shape[1] = channels / 2;
  detail::advance(cosine, 1, channels / 2);
  kernel::position_angles(ctx.backend(), 10000.0, first, cosine, sine);
  return y;
}

/// Rotary positions: in each head of d channels the pair (i, i + d / 2) of frame t is turned by the angle
/// (first + t) · base^(-i / (d / 2)), so that products of queries and keys depend on their distance alone.
/// x (N, T, heads · d) -> (N, T, heads · d). Su et al., "RoFormer", 2021. Throws ShapeError for an odd d.
template <class B>
Var<B, 3> rotary(const Var<B, 3>& x, long heads, double base = 10000.0, long first = 0) {
  using S = typename B::Scalar;
  if (heads < 1 || x.extent(2) % (2 * heads) != 0)
    throw ShapeError(concat("rotary: the ", x.extent(2), " channels of ", text(x.shape()), " do not make ", heads,
                            " heads of pairs"));
  auto& ctx = x.context();
  const Shape<2> shape{x.extent(1), x.extent(2) / (2 * heads)};
  const Tensor<B, 2> cosine = ctx.empty(shape), sine = ctx.empty(shape);
  kernel::position_angles(ctx.backend(), base, first, cosine.out(), sine.out());
  auto y = ctx.empty(x.shape());
  kernel::rotate(ctx.backend(), x.in(), cosine.in(), sine.in(), S(1), y.out(), false);
  return record(
      std::move(y),
      [x = target(x), cosine, sine](Context<B>& c, const Tensor<B, 3>& dy) {
        if (auto dx = c.sink(x))
          kernel::rotate(c.backend(), dy.in(), cosine.in(), sine.in(), S(-1), View<S, 3>(dx), dx.add);
      },
      x);
}

}  // namespace phonaut
