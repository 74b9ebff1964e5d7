#include "case.hpp"
#include "phonaut/ops/random_normal.hpp"

namespace {
using namespace phonaut;
using namespace phonaut::testing;

CASES(random_normal) {
  for (long n : {1L, 2L, 63L, 128L, 129L, 1000L, 100000L})
    // Angles in [-π, π] and logarithms in float: 1 ulp each, of numbers up to π and 6.
    add(std::to_string(n), inputs(normal(Shape<1>{n}, 1)),
        [](const auto& x) {
          auto& ctx = x.context();
          return x + ctx.constant(random_normal(ctx, x.shape(), Draws{77, 5}));
        },
        {.tolerance = 8 * eps, .bytes = 4.0 * static_cast<double>(n), .check = n <= 1000});
}

}  // namespace
