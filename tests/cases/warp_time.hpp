#include "case.hpp"
#include "phonaut/ops/warp_time.hpp"

namespace {
using namespace phonaut;
using namespace phonaut::testing;

CASES(warp_time) {
  const auto add_case = [&](const Shape<3>& shape, const std::vector<long>& lengths, const std::vector<long>& centre,
                            const std::vector<long>& to) {
    // Sums of four products in double, rounded once; gradients add up a few dozen in float where much is squeezed.
    add(text(shape), inputs(normal(shape, 1)),
        [=](const auto& x) {
          return warp_time(sequence_of(x, lengths), lengths_of(x.context(), centre), lengths_of(x.context(), to))
              .frames;
        },
        {.tolerance = eps, .gradient = 8 * eps, .time = false});
  };
  add_case({1, 40, 3}, {40}, {18}, {23});
  add_case({3, 13, 2}, {13, 9, 4}, {12, 1, 2}, {1, 8, 2});  // as far as it goes, both ways, and not at all
  add_case({1, 2, 5}, {2}, {1}, {1});
}

}  // namespace
