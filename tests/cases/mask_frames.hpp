#include "case.hpp"
#include "phonaut/ops/mask_frames.hpp"

namespace {
using namespace phonaut;
using namespace phonaut::testing;

CASES(mask_frames) {
  for (long time : {0L, 1L, 6L}) {
    const auto x = normal(Shape<3>{3, time, 5}, 1);
    const std::vector<long> lengths{time, 0, time / 2};
    add("value " + std::to_string(time), inputs(x),
        [lengths](const auto& v) { return mask_frames(sequence_of(v, lengths), -3).frames; },
        {.tolerance = 0, .gradient = eps /* the sum of two uses, halved */, .time = false});
    add("mean_over_time " + std::to_string(time), inputs(x),
        [lengths](const auto& v) { return mean_over_time(sequence_of(v, lengths)); },
        {.tolerance = 4 * eps, .time = false});
  }
}

}  // namespace
