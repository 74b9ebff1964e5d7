#include "case.hpp"
#include "phonaut/ops/activation_linear.hpp"
#include "phonaut/ops/formula/swoosh.hpp"

namespace {
using namespace phonaut;
using namespace phonaut::testing;

CASES(activation_linear) {
  for (auto [rows, in, out] : {std::tuple{1L, 1L, 1L}, {5L, 7L, 3L}, {9L, 33L, 20L}, {1000L, 768L, 256L}}) {
    add("swoosh_l " + text(Shape<3>{rows, in, out}),
        inputs(normal(Shape<2>{rows, in}, 1, 3), normal(Shape<2>{out, in}, 2), normal(Shape<1>{out}, 3)),
        [](const auto& x, const auto& w, const auto& b) { return activation_linear(x, w, b, formula::SwooshL{}); },
        // Activations near their floor are small differences of larger numbers; then sums of up to 33 products.
        {.tolerance = 64 * eps,
         .bytes = 4.0 * double(rows * (in + out) + in * out),
         .flops = 2.0 * double(rows * in * out),
         .check = rows <= 10});
  }
  const Shape<3> shape{3, 4, 9};
  add("with a mask " + text(shape), inputs(normal(shape, 1, 3), normal(Shape<2>{5, 9}, 2), normal(Shape<1>{5}, 3)),
      [](const auto& x, const auto& w, const auto& b) {
        const auto mask = input(x.context(), Shape<2>{3, 9}, normal(Shape<2>{3, 9}, 4).data).tensor();
        return activation_linear(x, w, b, formula::SwooshR{}, mask);
      },
      {.tolerance = 64 * eps, .time = false});
}

}  // namespace
