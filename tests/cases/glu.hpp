#include "case.hpp"
#include "phonaut/ops/glu.hpp"

namespace {
using namespace phonaut;
using namespace phonaut::testing;

CASES(glu) {
  for (auto [rows, width] : {std::pair{0L, 4L}, {1L, 1L}, {7L, 3L}, {5L, 21L}, {1000L, 512L}})
    add(text(Shape<2>{rows, 2 * width}), inputs(normal(Shape<2>{rows, 2 * width}, 1, 2)),
        [](const auto& x) { return glu(x); },
        {.tolerance = 4 * eps,  // a sigmoid (2 ulp) and a product
         .gradient = 16 * eps,  // 1 - s on top
         .bytes = 12.0 * static_cast<double>(rows * width),
         .check = rows < 100});
  add("rows with gaps", inputs(normal(Shape<3>{2, 3, 12}, 1)), [](const auto& x) { return glu(slice(x, 2, 1, 11)); },
      {.tolerance = 4 * eps, .gradient = 16 * eps});
}

}  // namespace
