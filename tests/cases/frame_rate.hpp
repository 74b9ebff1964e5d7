#include "case.hpp"
#include "phonaut/ops/frame_rate.hpp"

namespace {
using namespace phonaut;
using namespace phonaut::testing;

CASES(frame_rate) {
  for (long time : {0L, 1L, 2L, 7L, 8L}) {
    const auto x = normal(Shape<3>{2, time, 3}, 1);
    // A sum of at most three and a division.
    const Limits limits{.tolerance = 4 * eps, .time = false};
    add(
        "average 3 of " + std::to_string(time), inputs(x),
        [time](const auto& v) {
          return average_frames(sequence_of(v, std::vector<long>{time, time / 2}), 3).frames;
        },
        limits);
    add(
        "repeat " + std::to_string(time) + " twice", inputs(x),
        [time](const auto& v) {
          return repeat_frames(sequence_of(v, std::vector<long>{time, time / 2}), 2, time > 0 ? 2 * time - 1 : 0)
              .frames;
        },
        limits);
  }
}

}  // namespace
