#include "case.hpp"
#include "phonaut/ops/compact_positions.hpp"

namespace {
using namespace phonaut;
using namespace phonaut::testing;

// The table is a constant; a factor gives the case something to differentiate.
CASES(compact_positions) {
  for (auto [time, left, width] : {std::tuple{1L, 0L, 8L}, {9L, 4L, 48L}, {500L, 0L, 48L}})
    add(concat(time, " frames, left ", left, ", width ", width),
        inputs(normal(Shape<2>{2 * time - 1 + left, width}, 1)),
        [t = time, l = left, w = width](const auto& factor) {
          return factor * compact_positions(factor.context(), t, l, w);
        },
        // Computed in double, rounded once; one product.
        {.tolerance = 2 * eps, .bytes = 4.0 * double((2 * time - 1 + left) * width), .check = time <= 10});
}

}  // namespace
