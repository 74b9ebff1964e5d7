#include "case.hpp"
#include "phonaut/ops/unit_rows.hpp"

namespace {
using namespace phonaut;
using namespace phonaut::testing;

CASES(unit_rows) {
  for (const Shape<2>& shape : {Shape<2>{1, 1}, {0, 4}, {5, 3}, {4, 16}, {3, 33}, {2, 2500}, {4000, 256}}) {
    const auto x = normal(shape, 1);
    // The norm is exact to a rounding; the gradient is a difference of two terms of its own size.
    add(text(shape), inputs(x), [](const auto& v) { return unit_rows(v); },
        {.tolerance = 4 * eps,
         .gradient = 32 * eps,
         .bytes = 8.0 * static_cast<double>(element_count(shape)),
         .check = shape[0] < 100});
  }
  // Rows below the least norm are only scaled.
  add("short rows", inputs(normal(Shape<2>{6, 5}, 1)), [](const auto& v) { return unit_rows(v, 100.0); },
      {.tolerance = 4 * eps});
}

}  // namespace
