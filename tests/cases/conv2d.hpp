#include "case.hpp"
#include "phonaut/ops/conv2d.hpp"

namespace {
using namespace phonaut;
using namespace phonaut::testing;

CASES(conv2d) {
  struct Sizes {
    long batch, time, bands, in, out, kernel;
    Conv2dOptions options;
  };
  for (const Sizes& s : std::vector<Sizes>{{1, 1, 1, 1, 1, 1, {}},
                                           {2, 7, 6, 1, 3, 3, {.padding = {0, 1}}},
                                           {2, 9, 8, 3, 5, 3, {.stride = {2, 2}}},
                                           {1, 5, 9, 4, 2, 3, {.stride = {1, 2}}},
                                           {1, 8, 5, 2, 4, 3, {.stride = {2, 1}, .padding = {2, 1}}},
                                           {2, 11, 6, 2, 3, 3, {.stride = {1, 2}, .padding = {2, 1}, .dilation = 2}},
                                           {1, 14, 5, 2, 3, 3, {.stride = {2, 1}, .padding = {3, 0}, .dilation = 4}},
                                           {1, 120, 20, 5, 4, 3, {}},
                                           {1, 1000, 80, 1, 8, 3, {.padding = {0, 1}}},
                                           {1, 1000, 80, 8, 32, 3, {.stride = {2, 2}}},
                                           {1, 500, 39, 32, 128, 3, {.stride = {1, 2}}}}) {
    const double n = double(s.batch * s.time * s.bands) / double(s.options.stride.time * s.options.stride.frequency);
    add(concat(s.batch, "x", s.time, "x", s.bands, " channels ", s.in, " to ", s.out),
        inputs(normal(Shape<4>{s.batch, s.time, s.bands, s.in}, 1),
               normal(Shape<4>{s.out, s.kernel, s.kernel, s.in}, 2, 0.3), normal(Shape<1>{s.out}, 3)),
        [s](const auto& x, const auto& w, const auto& b) { return conv2d(x, w, b, s.options); },
        // Sums of up to 45 products; gradients of filters sum over all places.
        {.tolerance = 16 * eps,
         .gradient = 128 * eps,
         .flops = 2 * n * double(s.kernel * s.kernel * s.in * s.out),
         .check = s.time <= 150});
  }
}

}  // namespace
