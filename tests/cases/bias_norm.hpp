#include "case.hpp"
#include "phonaut/ops/bias_norm.hpp"

namespace {
using namespace phonaut;
using namespace phonaut::testing;

CASES(bias_norm) {
  const auto call = [](const auto& x, const auto& bias, const auto& log_scale) {
    return bias_norm(x, bias, log_scale);
  };
  for (auto [rows, width] : {std::pair{1L, 1L}, {0L, 5L}, {3L, 7L}, {130L, 17L}, {5L, 64L}, {70L, 192L}, {1000L, 512L}})
    add(text(Shape<2>{rows, width}),
        inputs(normal(Shape<2>{rows, width}, 1), normal(Shape<1>{width}, 2, 0.3), normal(Shape<0>{}, 3, 0.3)), call,
        // Sums of `width` squares in lanes of floats, then one root and two products.
        {.tolerance = 16 * eps,
         // dlog_scale and dbias sum signed terms over all rows, so that some digits cancel.
         .gradient = 128 * eps,
         .bytes = 8.0 * rows * width,
         .flops = 4.0 * rows * width,
         .check = rows <= 200});
}

}  // namespace
