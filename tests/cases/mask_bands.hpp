#include "case.hpp"
#include "phonaut/ops/mask_bands.hpp"

namespace {
using namespace phonaut;
using namespace phonaut::testing;

CASES(mask_bands) {
  const Bands bands{{{{0, 2}, {1, 3}}, {{4, 4}}, {{0, 6}}}, {{{1, 3}}, {{0, 1}, {4, 5}}, {}}};
  // Values are copied; the gradient of a value is a sum of two dozen numbers.
  for (const auto& lengths : {std::vector<long>{}, {6, 5, 2}})
    add(lengths.empty() ? "whole" : "padded", inputs(normal(Shape<3>{3, 6, 5}, 1), normal(Shape<1>{3}, 2)),
        [=](const auto& x, const auto& value) {
          const auto in = lengths.empty() ? sequence_of(x, std::vector{6, 6, 6}) : sequence_of(x, lengths);
          return mask_bands(in, bands, value).frames;
        },
        {.tolerance = 0, .gradient = 8 * eps, .time = false});
}

}  // namespace
