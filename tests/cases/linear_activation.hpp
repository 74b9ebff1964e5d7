#include "case.hpp"
#include "phonaut/ops/activations.hpp"
#include "phonaut/ops/linear_activation.hpp"

namespace {
using namespace phonaut;
using namespace phonaut::testing;

// A sum of `in` products and an activation whose slope stays near 1.
CASES(linear_activation) {
  for (auto [rows, in, out] :
       {std::tuple{1L, 1L, 1L}, {0L, 3L, 2L}, {5L, 7L, 3L}, {9L, 33L, 18L}, {1000L, 512L, 2048L}})
    add(text(Shape<2>{rows, in}) + " to " + std::to_string(out),
        inputs(normal(Shape<2>{rows, in}, 1), normal(Shape<2>{out, in}, 2), normal(Shape<1>{out}, 3)),
        [](const auto& x, const auto& w, const auto& b) { return linear_activation<formula::Gelu>(x, w, b); },
        {.tolerance = 16 * eps,
         .gradient = 32 * eps,
         .flops = 2.0 * static_cast<double>(rows * in * out),
         .check = rows < 100});
}

}  // namespace
