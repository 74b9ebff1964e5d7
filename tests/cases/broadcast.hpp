#include "case.hpp"
#include "phonaut/ops/broadcast.hpp"

namespace {
using namespace phonaut;
using namespace phonaut::testing;

CASES(broadcast) {
  for (auto [rows, width] : {std::pair{0L, 4L}, {1L, 1L}, {5L, 3L}, {4L, 16L}, {3L, 77L}, {300L, 18L}, {1000L, 512L}}) {
    const auto x = normal(Shape<2>{rows, width}, 1);
    const auto v = normal(Shape<1>{width}, 2);
    // One rounding per element; the gradient of the vector is a sum over the rows.
    const Limits limits{
        .tolerance = eps, .gradient = 16 * eps, .bytes = 8.0 * static_cast<double>(rows * width), .check = rows < 500};
    add(
        "add_channels " + text(x.shape), inputs(x, v), [](const auto& a, const auto& b) { return add_channels(a, b); },
        limits);
    add(
        "scale_channels " + text(x.shape), inputs(x, v),
        [](const auto& a, const auto& b) { return scale_channels(a, b); }, limits);
  }
  add("add_frames", inputs(normal(Shape<3>{3, 4, 5}, 1), normal(Shape<2>{4, 5}, 2)),
      [](const auto& x, const auto& p) { return add_frames(x, p); }, {.tolerance = eps, .gradient = 4 * eps});
}

}  // namespace
