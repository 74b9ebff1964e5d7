#include "case.hpp"
#include "phonaut/ops/snake.hpp"

namespace {
using namespace phonaut;
using namespace phonaut::testing;

CASES(snake) {
  // 200 rows make four blocks of partial sums.
  for (auto [rows, width] :
       {std::pair{0L, 4L}, {1L, 1L}, {7L, 3L}, {3L, 16L}, {5L, 37L}, {200L, 9L}, {1000L, 512L}, {16000L, 64L}})
    add(text(Shape<2>{rows, width}), inputs(normal(Shape<2>{rows, width}, 1), normal(Shape<1>{width}, 2, 0.1, 1)),
        [](const auto& x, const auto& alpha) { return snake(x, alpha); },
        {.tolerance = 8 * eps,  // a sine, a square, a division and a sum
         .gradient = 64 * eps,  // differences of terms of like size; that of alpha sums over rows
         .bytes = 8.0 * static_cast<double>(rows * width),
         .check = rows < 300});
  add("rows with gaps", inputs(normal(Shape<3>{3, 5, 12}, 1), normal(Shape<1>{7}, 2, 0.1, 1)),
      [](const auto& x, const auto& alpha) { return snake(slice(x, 2, 3, 10), alpha); },
      {.tolerance = 8 * eps, .gradient = 64 * eps, .time = false});
  // Through many turns: the argument's rounding is that of alpha x, in radians.
  add("steep", inputs(normal(Shape<2>{9, 33}, 3, 20), normal(Shape<1>{33}, 4, 1, 8)),
      [](const auto& x, const auto& alpha) { return snake(x, alpha); },
      {.tolerance = 8 * eps, .gradient = 4096 * eps, .time = false});
}

}  // namespace
