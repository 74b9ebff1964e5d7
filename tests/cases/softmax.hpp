#include "case.hpp"
#include "phonaut/ops/log_softmax.hpp"
#include "phonaut/ops/softmax.hpp"

namespace {
using namespace phonaut;
using namespace phonaut::testing;

constexpr std::pair<long, long> softmax_sizes[] = {{0, 3}, {1, 1}, {7, 3}, {3, 16}, {5, 37}, {4, 130}, {1000, 512}};

// One exponential (1 ulp), a sum of positive terms and a division.
CASES(softmax) {
  for (auto [rows, width] : softmax_sizes) {
    const auto x = normal(Shape<2>{rows, width}, 1, 3);
    add(text(x.shape), inputs(x), [](const auto& v) { return softmax(v); },
        {.tolerance = 16 * eps,
         .gradient = 32 * eps,
         .bytes = 8.0 * static_cast<double>(rows * width),
         .check = rows < 100});
  }
  for (long width : {1L, 5L, 33L})
    add("keys up to a length, " + std::to_string(width), inputs(normal(Shape<3>{3, 2, width}, 1, 3)),
        [width](const auto& v) {
          return softmax(v, lengths_of(v.context(), std::vector<long>{width, 0, (width + 1) / 2}));
        },
        {.tolerance = 16 * eps, .gradient = 32 * eps});
}

CASES(log_softmax) {
  for (auto [rows, width] : softmax_sizes) {
    const auto x = normal(Shape<2>{rows, width}, 1, 3);
    add(text(x.shape), inputs(x), [](const auto& v) { return log_softmax(v); },
        {.tolerance = 16 * eps,
         .gradient = 32 * eps,
         .bytes = 8.0 * static_cast<double>(rows * width),
         .check = rows < 100});
  }
}

}  // namespace
