#include "case.hpp"
#include "phonaut/ops/depthwise_conv2d.hpp"

namespace {
using namespace phonaut;
using namespace phonaut::testing;

CASES(depthwise_conv2d) {
  struct Sizes {
    long batch, time, bands, channels, kernel, before, after;
    std::vector<long> lengths;
  };
  for (const Sizes& s : std::vector<Sizes>{{1, 1, 1, 1, 1, 0, 0, {}},
                                           {2, 5, 4, 7, 3, 1, 1, {}},
                                           {1, 6, 19, 20, 7, 3, 3, {}},
                                           {1, 9, 5, 16, 7, 0, 0, {}},
                                           {3, 7, 5, 6, 7, 3, 3, {7, 0, 4}},
                                           {1, 500, 19, 128, 7, 3, 3, {}}}) {
    const double n = double(s.batch * s.time * s.bands * s.channels);
    add(concat(s.batch, "x", s.time, "x", s.bands, "x", s.channels, " taps ", s.kernel,
               s.lengths.empty() ? "" : " padded"),
        inputs(normal(Shape<4>{s.batch, s.time, s.bands, s.channels}, 1),
               normal(Shape<4>{s.channels, 1, s.kernel, s.kernel}, 2, 0.3), normal(Shape<1>{s.channels}, 3)),
        [s](const auto& x, const auto& w, const auto& b) {
          return depthwise_conv2d(x, w, b, s.before, s.after,
                                  s.lengths.empty() ? Lengths() : lengths_of(x.context(), s.lengths));
        },
        // Sums of up to 49 products; gradients of filters sum over all places.
        {.tolerance = 32 * eps,
         .gradient = 128 * eps,
         .bytes = 8 * n,
         .flops = 2 * n * double(s.kernel * s.kernel),
         .check = s.time <= 150});
  }
}

}  // namespace
