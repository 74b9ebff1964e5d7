// Tape, sinks, gradients outside of parameters, gradient accumulation, recompute, stale values.
#include "catch.hpp"
#include "phonaut/core/frozen_weights.hpp"
#include "phonaut/core/recompute.hpp"
#include "phonaut/ops/arithmetic.hpp"
#include "phonaut/ops/shape.hpp"
#include "phonaut/testing/gradient_check.hpp"

using namespace phonaut;
using Ref = ReferenceOf<double>;
using phonaut::testing::compare;
using phonaut::testing::normal;

TEST_CASE("gradients live outside of parameters and add up over backward passes", "[core]") {
  Context<Ref> ctx;
  const auto w = make_param(ctx, Shape<1>{3}, Init::constant(2));
  ctx.train();
  Gradients<Ref> gradients;
  for (int pass = 1; pass <= 3; ++pass) {
    const auto x = input(ctx, Shape<1>{3}, std::vector{1.0, 10.0, 100.0});
    const auto lifted = ctx.lift(w);
    ctx.backward(sum(x * lifted), gradients);
    CHECK(to_vector(gradients[w]) == std::vector<double>{1.0 * pass, 10.0 * pass, 100.0 * pass});
  }
  CHECK(gradients.count() == 1);
}

TEST_CASE("frozen weights get no gradient, and what they are applied to gets its own", "[core]") {
  Context<Ref> ctx;
  const auto w = make_param(ctx, Shape<1>{2}, Init::constant(3));
  ctx.train();
  const auto x = ctx.variable(tensor_of<Ref>(Shape<1>{2}, std::vector{1.0, 4.0}));
  Gradients<Ref> gradients;
  {
    const FrozenWeights<Ref> frozen(ctx);
    ctx.backward(sum(x * ctx.lift(w)), gradients);
  }
  CHECK(to_vector(gradients[x]) == std::vector<double>{3, 3});
  CHECK_FALSE(gradients.has(w));
  ctx.backward(sum(input(ctx, Shape<1>{2}, std::vector{1.0, 4.0}) * ctx.lift(w)), gradients);
  CHECK(to_vector(gradients[w]) == std::vector<double>{1, 4});
}

TEST_CASE("a value that is used twice collects both gradients", "[core]") {
  Context<Ref> ctx;
  ctx.train();
  const auto x = ctx.variable(tensor_of<Ref>(Shape<1>{2}, std::vector{3.0, 4.0}));
  const auto y = x + x;  // dy is handed on without a copy to the first use, added for the second
  const auto gradients = ctx.backward(sum(y * y));
  CHECK(to_vector(gradients[x]) == std::vector<double>{24, 32});
}

TEST_CASE("a gradient that is handed on is not changed by a later addition", "[core]") {
  Context<Ref> ctx;
  ctx.train();
  const auto a = ctx.variable(tensor_of<Ref>(Shape<1>{1}, std::vector{3.0}));
  const auto b = ctx.variable(tensor_of<Ref>(Shape<1>{1}, std::vector{5.0}));
  const auto gradients = ctx.backward(sum(a + b) + sum(a * a));
  CHECK(to_vector(gradients[a])[0] == 7);
  CHECK(to_vector(gradients[b])[0] == 1);
}

TEST_CASE("inference records nothing and backward says so", "[core]") {
  Context<Ref> ctx;
  const auto w = make_param(ctx, Shape<1>{3}, Init::constant(2));
  const auto loss = sum(ctx.lift(w));
  CHECK(ctx.recorded_ops() == 0);
  CHECK_THROWS_AS(ctx.backward(loss), StateError);
}

TEST_CASE("a value of an ended tape is refused, its detached numbers are not", "[core]") {
  Context<Ref> ctx;
  ctx.train();
  const auto x = ctx.variable(tensor_of<Ref>(Shape<1>{1}, std::vector{3.0}));
  const auto y = x * x;
  ctx.backward(sum(y));
  CHECK_THROWS_AS(y + y, StateError);
  const auto z = ctx.detach(y);
  CHECK(to_vector((z + z).tensor())[0] == 18);
}

TEST_CASE("recompute gives the gradients of the plain call and keeps less", "[core]") {
  Context<Ref> ctx;
  ctx.train();
  const auto w = make_param(ctx, Shape<1>{4}, Init::normal(1));
  const auto layer = [&](const Var<Ref, 1>& x) {
    auto y = x;
    for (int i = 0; i < 5; ++i) y = y * ctx.lift(w) + x;
    return y;
  };
  const auto x = tensor_of<Ref>(Shape<1>{4}, std::vector{0.5, -1.0, 2.0, 3.0});
  const auto plain_in = ctx.variable(x);
  const auto plain_out = layer(plain_in);
  const size_t plain_ops = ctx.recorded_ops();
  const auto plain = ctx.backward(sum(plain_out * plain_out));

  const auto again_in = ctx.variable(x);
  const auto again_out = recompute(again_in, layer);
  CHECK(ctx.recorded_ops() == 1);
  CHECK(plain_ops > 5);
  const auto again = ctx.backward(sum(again_out * again_out));
  CHECK(to_vector(again_out.tensor()) == to_vector(plain_out.tensor()));
  CHECK(to_vector(again[w]) == to_vector(plain[w]));
  CHECK(to_vector(again[again_in]) == to_vector(plain[plain_in]));
}

TEST_CASE("recompute inside recompute, and of parameters alone", "[core]") {
  Context<Ref> ctx;
  ctx.train();
  const auto w = make_param(ctx, Shape<1>{2}, Init::constant(3));
  const auto inner = [&](const Var<Ref, 1>& x) { return x * ctx.lift(w); };
  const auto outer = [&](const Var<Ref, 1>& x) { return recompute(recompute(x, inner), inner); };
  const auto x = ctx.constant(tensor_of<Ref>(Shape<1>{2}, std::vector{1.0, 2.0}));
  const auto gradients = ctx.backward(sum(recompute(x, outer)));  // Σ x w², d/dw = 2 x w
  CHECK(to_vector(gradients[w]) == std::vector<double>{6, 12});
}

TEST_CASE("moving ops agree with dual numbers", "[core][gradient]") {
  const auto x = normal(Shape<3>{2, 3, 4}, 1);
  const auto z = normal(Shape<3>{2, 2, 4}, 2);
  const auto exactly = [](const phonaut::testing::Comparison& c) { return c.value == 0 && c.worst_gradient() < 1e-14; };
  CHECK(exactly(compare(
      Ref{}, [](const auto& v) { return slice(v, 1, 1, 3); }, std::tuple{x})));
  CHECK(exactly(compare(
      Ref{}, [](const auto& v) { return slice(slice(v, 2, 1, 3), 0, 1, 2); }, std::tuple{x})));
  CHECK(exactly(compare(
      Ref{}, [](const auto& v) { return packed(slice(v, 1, 1, 2)); }, std::tuple{x})));
  CHECK(exactly(compare(
      Ref{},
      [](const auto& v) {
        return reshape(slice(v, 1, 0, 2), Shape<2>{4, 4});
      },
      std::tuple{x})));
  CHECK(exactly(compare(
      Ref{},
      [](const auto& v) {
        return permute(v, {2, 0, 1});
      },
      std::tuple{x})));
  CHECK(exactly(compare(
      Ref{}, [](const auto& v) { return pad(v, 1, 2, 1); }, std::tuple{x})));
  CHECK(exactly(compare(
      Ref{},
      [](const auto& a, const auto& b) {
        return concatenate(std::vector{a, b, a}, 1);
      },
      std::tuple{x, z})));
  CHECK(exactly(compare(
      Ref{},
      [](const auto& a, const auto& b) {
        return concatenate(std::array{a, b, a}, 1);
      },
      std::tuple{x, z})));
}

TEST_CASE("arithmetic agrees with dual numbers", "[core][gradient]") {
  const auto x = normal(Shape<2>{3, 5}, 1), z = normal(Shape<2>{3, 5}, 2);
  // One float rounding per operation.
  const auto close = [](const phonaut::testing::Comparison& c) { return c.value < 4e-7 && c.worst_gradient() < 4e-7; };
  CHECK(close(compare(
      Reference{}, [](const auto& a, const auto& b) { return a + b; }, std::tuple{x, z})));
  CHECK(close(compare(
      Reference{}, [](const auto& a, const auto& b) { return a - b; }, std::tuple{x, z})));
  CHECK(close(compare(
      Reference{}, [](const auto& a, const auto& b) { return a * b; }, std::tuple{x, z})));
  CHECK(close(compare(
      Reference{}, [](const auto& a) { return 3 * a; }, std::tuple{x})));
  CHECK(close(compare(
      Reference{}, [](const auto& a) { return mean(a); }, std::tuple{x})));
}

TEST_CASE("shape errors show both sides", "[core]") {
  Context<Ref> ctx;
  const auto x = input(ctx, Shape<2>{2, 3}, std::vector<double>(6)),
             y = input(ctx, Shape<2>{3, 2}, std::vector<double>(6));
  CHECK_THROWS_WITH(x + y, "add: x is (2, 3) but y is (3, 2)");
  CHECK_THROWS_AS(slice(x, 1, 2, 5), ShapeError);
  CHECK_THROWS_AS(reshape(x, Shape<1>{7}), ShapeError);
  CHECK_THROWS_AS(concatenate(std::vector{x, y}, 1), ShapeError);
  CHECK_THROWS_AS(input(ctx, Shape<1>{2}, std::vector<double>(3)), ShapeError);
  CHECK_THROWS_AS(ctx.empty(Shape<1>{-1}), ShapeError);
}

TEST_CASE("tensors outlive their context", "[core]") {
  Tensor<Ref, 1> kept;
  {
    Context<Ref> ctx;
    kept = ctx.full(Shape<1>{1000}, 7.0);
    const auto dropped = ctx.full(Shape<1>{1000}, 8.0);
  }
  CHECK(to_vector(kept)[999] == 7);
}
