#include "case.hpp"
#include "phonaut/ops/bypass.hpp"

namespace {
using namespace phonaut;
using namespace phonaut::testing;

CASES(bypass) {
  struct Sizes {
    long batch, time, channels, repeat;
  };
  for (const Sizes& s : std::vector<Sizes>{{1, 1, 1, 1},
                                           {2, 5, 7, 1},
                                           {2, 9, 20, 4},
                                           {1, 3, 33, 8},
                                           {2, 150, 20, 2},
                                           {8, 250, 256, 1},
                                           {8, 250, 256, 2}}) {
    const double n = double(s.batch * s.time * s.channels);
    add(concat(s.batch, "x", s.time, "x", s.channels, " repeat ", s.repeat),
        inputs(normal(Shape<3>{s.batch, s.time, s.channels}, 1),
               normal(Shape<3>{s.batch, (s.time + s.repeat - 1) / s.repeat, s.channels}, 2),
               normal(Shape<1>{s.channels}, 3, 0.3, 0.5)),
        [s](const auto& a, const auto& b, const auto& scale) { return bypass(a, b, scale, s.repeat); },
        // Three roundings forward; the scale's gradient sums over all frames.
        {.tolerance = 4 * eps, .gradient = 32 * eps, .bytes = 12 * n, .flops = 3 * n, .check = s.time <= 150});
  }
}

}  // namespace
