#include "case.hpp"
#include "phonaut/ops/weighted_sum.hpp"

namespace {
using namespace phonaut;
using namespace phonaut::testing;

CASES(weighted_sum) {
  const Shape<3> shape{2, 5, 7};
  // A sum of three products; the gradient of a weight is one of 70.
  const Limits limits{.tolerance = 4 * eps, .gradient = 16 * eps};
  add(
      "three parts", inputs(normal(shape, 1), normal(shape, 2), normal(shape, 3), normal(Shape<1>{3}, 4)),
      [](const auto& a, const auto& b, const auto& c, const auto& w) {
        return weighted_sum(std::vector{a, b, c}, w);
      },
      limits);
  add(
      "one part twice", inputs(normal(shape, 1), normal(Shape<1>{2}, 4)),
      [](const auto& a, const auto& w) {
        return weighted_sum(std::vector{a, a}, w);
      },
      limits);
  add(
      "weights alone are trained", inputs(normal(Shape<1>{2}, 4)),
      [=](const auto& w) {
        auto& ctx = w.context();
        const auto part = [&](std::uint64_t seed) { return input(ctx, shape, normal(shape, seed).data); };
        return weighted_sum(std::vector{part(1), part(2)}, w);
      },
      limits);
}

}  // namespace
