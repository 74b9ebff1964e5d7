#include "case.hpp"
#include "phonaut/losses/sigreg.hpp"

namespace {
using namespace phonaut;
using namespace phonaut::testing;

CASES(sigreg) {
  struct Size {
    long samples, dims, slices, knots;
    double t_max;
    bool small;
  };
  for (const Size& size : {Size{1, 1, 1, 2, 1, true}, Size{7, 3, 5, 17, 3, true}, Size{64, 16, 33, 17, 3, true},
                           Size{70, 5, 100, 9, 5, true}, Size{130, 4, 16, 128, 4, true},
                           Size{800, 64, 256, 17, 3, false}, Size{4096, 512, 1024, 17, 3, false}}) {
    const SigregOptions options{.slices = size.slices, .test = {.knots = size.knots, .t_max = size.t_max}};
    // Rotations lose half an ulp per knot (1e-6 at 17) in each term; statistics are N times a sum of squares of means
    // that are small beside the terms, so that their error is about that of the terms times 2 √N.
    const double rounding = 4 * eps * static_cast<double>(size.knots);
    add(text(Shape<3>{size.samples, size.dims, size.slices}) + " " + std::to_string(size.knots) + " knots",
        inputs(normal(Shape<2>{size.samples, size.dims}, 1, 1.3, 0.2)),
        [options](const auto& x) {
          return sigreg(x, random_slices(x.context(), x.extent(1), options.slices), options);
        },
        {.tolerance = rounding,
         .gradient = 4 * rounding,
         .bytes = 8.0 * static_cast<double>(size.samples * size.dims),
         .flops = 2.0 * static_cast<double>(size.samples * size.dims * size.slices) +
                  6.0 * static_cast<double>(size.samples * size.slices * size.knots),
         .check = size.small});
  }
  SigregOptions sum;
  sum.slices = 24;
  sum.reduction = Reduction::sum;
  add("views, summed", inputs(normal(Shape<3>{3, 40, 12}, 1, 2, 0.4)),
      [sum](const auto& x) { return sigreg(x, random_slices(x.context(), x.extent(2), sum.slices), sum); },
      {.tolerance = 68 * eps});
}

}  // namespace
