#include "case.hpp"
#include "phonaut/ops/positions.hpp"

namespace {
using namespace phonaut;
using namespace phonaut::testing;

// Angles are computed in double on every backend; two products and a sum round.
CASES(rotary) {
  for (auto [time, heads, width] : {std::tuple{1L, 1L, 2L}, {7L, 3L, 6L}, {20L, 2L, 34L}, {1000L, 8L, 64L}})
    add(text(Shape<3>{2, time, heads * width}), inputs(normal(Shape<3>{2, time, heads * width}, 1)),
        [heads = heads](const auto& x) { return rotary(x, heads, 10000.0, 3); },
        {.tolerance = 4 * eps, .bytes = 16.0 * static_cast<double>(time * heads * width), .check = time < 100});
}

}  // namespace
