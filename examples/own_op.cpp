// Adds a differentiable op outside of the library, and proves its gradient.
//
// Snake (Ziyin, Hartwig and Ueda, "Neural networks fail to learn periodic functions and how to fix it", 2020) is the
// activation of many codec decoders: y = x + sin²(a x) / a, with a parameter a for every channel. The op is a forward
// kernel, a backward kernel and a function that joins them; docs/adding_an_op.md walks through the three.
#include <cstdio>
#include <phonaut/core/dual.hpp>
#include <phonaut/core/math.hpp>
#include <phonaut/ops/shape.hpp>
#include <phonaut/testing/gradient_check.hpp>

using namespace phonaut;

namespace own {

// The formula, over any number type: float to run it, double and dual numbers to check it.
// A kernel takes views and its backend, returns nothing and allocates nothing.
template <class S>
void snake_forward(const Reference&, View<const S, 2> x, View<const S, 1> a, View<S, 2> y) {
  using namespace phonaut::math;
  for (long r = 0; r < x.shape[0]; ++r)
    for (long c = 0; c < x.shape[1]; ++c) {
      const S s = sin(a.data[c] * x.row(r)[c]);
      y.row(r)[c] = x.row(r)[c] + s * s / a.data[c];
    }
}

// dy/dx = 1 + sin(2 a x);  dy/da = x sin(2 a x) / a - sin²(a x) / a².
// A sink is empty when nobody wants that gradient, is set by its first consumer and added to by later ones: `put`.
template <class S>
void snake_backward(const Reference&, View<const S, 2> dy, View<const S, 2> x, View<const S, 1> a, Sink<S, 2> dx,
                    Sink<S, 1> da) {
  using namespace phonaut::math;
  for (long c = 0; c < x.shape[1]; ++c) {
    S total = 0;
    for (long r = 0; r < x.shape[0]; ++r) {
      const S u = a.data[c] * x.row(r)[c], s = sin(u), twice = S(2) * s * cos(u);
      if (dx) dx.put(r * x.shape[1] + c, dy.row(r)[c] * (S(1) + twice));
      total += dy.row(r)[c] * (x.row(r)[c] * twice - s * s / a.data[c]) / a.data[c];
    }
    if (da) da.put(c, total);
  }
}

/// Snake over the last axis: x (…, C), a (C) -> (…, C). Throws ShapeError if they do not fit.
template <class B, size_t R>
Var<B, R> snake(const Var<B, R>& any, Weight<B, 1> alpha) {
  check_channels("snake", any.shape(), alpha.extent(0), "alpha ", alpha.shape());
  auto& ctx = any.context();
  const Var<B, R> x = rowwise(any);     // kernels see rows, with gaps between them or without
  const Var<B, 1> a = ctx.lift(alpha);  // a Param, or a Var that stands in for one
  auto y = ctx.empty(x.shape());
  snake_forward(ctx.backend(), as_rows(x.in()), a.in(), as_rows(y.out()));
  // An op without a backward does not compile. The closure keeps what it needs, and nothing else stays alive.
  return record(
      std::move(y),
      [x, a](Context<B>& c, const Tensor<B, R>& dy) {
        snake_backward(c.backend(), as_rows(dy.in()), as_rows(x.in()), a.in(), as_rows(c.sink(x)), c.sink(a));
      },
      x, a);
}

}  // namespace own

int main() {
  // Hold it against dual numbers: exact derivatives of the very formula above, with no step size to choose.
  using testing::normal;
  const auto difference = testing::compare(
      Cpu{}, [](const auto& x, const auto& a) { return own::snake(x, a); },
      std::tuple{normal(Shape<3>{2, 9, 5}, 1), normal(Shape<1>{5}, 2, 0.1, 1.0)});
  std::printf("snake: values differ by %.1e, gradients of x by %.1e, of alpha by %.1e (relative, in float)\n",
              difference.value, difference.gradients[0], difference.gradients[1]);
  return difference.value < 1e-6 && difference.worst_gradient() < 1e-5 ? 0 : 1;
}
