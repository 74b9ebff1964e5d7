#include "case.hpp"
#include "phonaut/ops/dropout.hpp"

namespace {
using namespace phonaut;
using namespace phonaut::testing;

// The same draws on every backend: only the product rounds.
CASES(dropout) {
  for (long n : {0L, 1L, 63L, 64L, 200L, 40000L})
    add(
        std::to_string(n), inputs(normal(Shape<1>{n}, 1)), [](const auto& x) { return dropout(x, 0.3); },
        {.tolerance = 2 * eps, .bytes = 8.0 * static_cast<double>(n), .check = n < 1000},
        [](auto& ctx) { ctx.set_training(true); });
  // More than one block of work, and a start in the middle of the stream.
  add(
      "20000 after others", inputs(normal(Shape<2>{2, 10000}, 1)),
      [](const auto& x) {
        x.context().random().take(7);
        return dropout(x, 0.1);
      },
      {.tolerance = 2 * eps, .gradient = 16 * eps /* compared along random directions */, .time = false},
      [](auto& ctx) { ctx.set_training(true); });
}

}  // namespace
