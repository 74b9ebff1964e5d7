#include "case.hpp"
#include "phonaut/ops/reduce.hpp"

namespace {
using namespace phonaut;
using namespace phonaut::testing;

CASES(reduce) {
  for (auto [rows, width] : {std::pair{0L, 4L}, {1L, 1L}, {5L, 3L}, {4L, 16L}, {3L, 77L}, {1000L, 512L}}) {
    const auto x = normal(Shape<2>{rows, width}, 1);
    // Sums of up to 77 numbers, relative to a result that may be small beside its terms.
    const Limits limits{.tolerance = 16 * eps, .bytes = 4.0 * static_cast<double>(rows * width), .check = rows < 100};
    add(
        "sum " + text(x.shape), inputs(x), [](const auto& v) { return sum_last(v); }, limits);
    add(
        "mean " + text(x.shape), inputs(x), [](const auto& v) { return mean_last(v); }, limits);
    add(
        "max " + text(x.shape), inputs(x), [](const auto& v) { return max_last(v); }, limits);
  }
}

}  // namespace
