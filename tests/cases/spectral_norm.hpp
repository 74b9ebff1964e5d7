#include "case.hpp"
#include "phonaut/ops/spectral_norm.hpp"

namespace {
using namespace phonaut;
using namespace phonaut::testing;

CASES(spectral_norm) {
  // (A weight of one number becomes a constant, whose gradient is zero but for rounding.)
  for (const Shape<3>& shape : {Shape<3>{1, 1, 2}, Shape<3>{3, 5, 2}, Shape<3>{16, 41, 7}})
    add(text(shape), inputs(normal(shape, 1)),
        [=](const auto& w) {
          // Whatever the vectors are, they are constants.
          using B = typename std::remove_cvref_t<decltype(w)>::Backend;
          auto& ctx = w.context();
          const auto vector = [&](long n, std::uint64_t seed) {
            return input(ctx, Shape<1>{n}, normal(Shape<1>{n}, seed, 0.2, 0.5).data).tensor();
          };
          const Tensor<B, 1> u = vector(shape[0], 2), v = vector(shape[1] * shape[2], 3);
          return spectral_norm(w, u, v);
        },
        // A sum over all elements in double, a quotient; the backward multiplies three such numbers.
        {.tolerance = 4 * eps, .gradient = 16 * eps, .time = false});
}

}  // namespace
