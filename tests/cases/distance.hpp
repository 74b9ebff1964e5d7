#include "case.hpp"
#include "phonaut/losses/regression.hpp"

namespace {
using namespace phonaut;
using namespace phonaut::testing;

CASES(distance) {
  for (const Shape<2>& shape : {Shape<2>{1, 1}, {0, 3}, {3, 7}, {5, 33}, {16, 16000}}) {
    const auto x = normal(shape, 1), y = normal(shape, 2);
    const bool small = shape[1] < 1000;
    const double bytes = 8.0 * element_count(shape);
    // Terms are rounded once or twice, their sum is kept in double.
    add("l1 " + text(shape), inputs(x, y), [](const auto& a, const auto& b) { return l1_loss(a, b); },
        {.tolerance = 4 * eps, .bytes = bytes, .check = small});
    add("mse " + text(shape), inputs(x, y), [](const auto& a, const auto& b) { return mse_loss(a, b); },
        {.tolerance = 4 * eps, .bytes = bytes, .check = small});
    add("smooth l1 " + text(shape), inputs(x, y),
        [](const auto& a, const auto& b) { return smooth_l1_loss(a, b, 0.7); },
        {.tolerance = 4 * eps, .bytes = bytes, .check = small});
  }
  // A slice of a larger tensor: rows with gaps between them.
  add("mse of a slice", inputs(normal(Shape<3>{4, 9, 5}, 1), normal(Shape<3>{4, 6, 5}, 2)),
      [](const auto& a, const auto& b) { return mse_loss(slice(a, 1, 2, 8), b); }, {.tolerance = 4 * eps});
  add("l1 of one value with itself", inputs(normal(Shape<2>{3, 9}, 1)),
      [](const auto& a) { return l1_loss(a, a) + mse_loss(a, 2 * a); }, {.tolerance = 4 * eps});
}

}  // namespace
