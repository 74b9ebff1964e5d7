#include "case.hpp"
#include "phonaut/ops/layer_norm.hpp"
#include "phonaut/ops/rms_norm.hpp"

namespace {
using namespace phonaut;
using namespace phonaut::testing;

// 200 rows make four blocks of partial sums.
constexpr std::pair<long, long> norm_sizes[] = {{0, 4}, {1, 5}, {7, 3}, {3, 16}, {5, 37}, {200, 9}, {1000, 256}};

// A mean, a variance and a scale: each is a sum of `width` terms that SIMD lanes round apart from one another, and the
// offset of 0.5 costs a bit where the mean is taken off. Rows of three elements can have a small variance, which
// magnifies the rounding of the mean.
CASES(layer_norm) {
  for (auto [rows, width] : norm_sizes) {
    const Limits limits{.tolerance = 32 * eps,
                        .gradient = 64 * eps,
                        .bytes = 8.0 * static_cast<double>(rows * width),
                        .check = rows < 300};
    const auto x = normal(Shape<2>{rows, width}, 3, 1, 0.5);
    add(
        text(x.shape), inputs(x, normal(Shape<1>{width}, 2), normal(Shape<1>{width}, 4)),
        [](const auto& v, const auto& gain, const auto& bias) { return layer_norm(v, gain, bias); }, limits);
    add(
        text(x.shape) + " without gain and bias", inputs(x), [](const auto& v) { return layer_norm(v); }, limits);
  }
  add("rows with gaps", inputs(normal(Shape<3>{3, 5, 12}, 1), normal(Shape<1>{7}, 2)),
      [](const auto& v, const auto& gain) { return layer_norm(slice(v, 2, 3, 10), gain); },
      {.tolerance = 32 * eps, .gradient = 64 * eps});
}

CASES(rms_norm) {
  for (auto [rows, width] : norm_sizes) {
    const auto x = normal(Shape<2>{rows, width}, 1);
    add(text(x.shape), inputs(x, normal(Shape<1>{width}, 2)),
        [](const auto& v, const auto& gain) { return rms_norm(v, gain); },
        {.tolerance = 16 * eps,
         .gradient = 64 * eps,
         .bytes = 8.0 * static_cast<double>(rows * width),
         .check = rows < 300});
  }
  add("without gain", inputs(normal(Shape<2>{5, 7}, 1)), [](const auto& v) { return rms_norm(v); },
      {.tolerance = 16 * eps, .gradient = 64 * eps});
}

}  // namespace
