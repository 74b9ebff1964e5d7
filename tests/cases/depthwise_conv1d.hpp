#include "case.hpp"
#include "phonaut/ops/depthwise_conv1d.hpp"

namespace {
using namespace phonaut;
using namespace phonaut::testing;

CASES(depthwise_conv1d) {
  struct Sizes {
    long batch, time, channels, taps, before;
  };
  for (const Sizes& s : std::vector<Sizes>{{1, 1, 1, 1, 0},
                                           {2, 5, 7, 3, 1},
                                           {1, 3, 16, 7, 3},
                                           {2, 9, 33, 4, 3},
                                           {1, 70, 20, 31, 15},
                                           {2, 130, 17, 15, 0},
                                           {1, 70, 256, 9, 8},  // frames that crowd a cache are copied
                                           {1, 500, 192, 31, 15},
                                           {8, 500, 192, 31, 15},
                                           {8, 125, 384, 15, 7}}) {
    const double n = double(s.batch * s.time * s.channels);
    add(concat(s.batch, "x", s.time, "x", s.channels, " taps ", s.taps, " before ", s.before),
        inputs(normal(Shape<3>{s.batch, s.time, s.channels}, 1), normal(Shape<3>{s.channels, 1, s.taps}, 2, 0.3),
               normal(Shape<1>{s.channels}, 3)),
        [s](const auto& x, const auto& w, const auto& b) { return depthwise_conv1d(x, w, b, s.before); },
        // Sums of up to 31 products; gradients of filters sum over all frames.
        {.tolerance = 16 * eps,
         .gradient = 64 * eps,
         .bytes = 8 * n,
         .flops = 2 * n * double(s.taps),
         .check = s.time <= 150});
  }
  // Frames that lie inside of wider ones.
  add("2x21x19 of 2x21x40 taps 9", inputs(normal(Shape<3>{2, 21, 40}, 1), normal(Shape<3>{19, 1, 9}, 2, 0.3)),
      [](const auto& x, const auto& w) { return depthwise_conv1d(slice(x, 2, 3, 22), w, {}, 4); },
      {.tolerance = 16 * eps, .gradient = 64 * eps, .time = false});  // sums of 9 products; filters sum over 42 frames
}

}  // namespace
