#include "case.hpp"
#include "phonaut/ops/weight_norm.hpp"

namespace {
using namespace phonaut;
using namespace phonaut::testing;

CASES(weight_norm) {
  for (const Shape<3>& shape : {Shape<3>{1, 1, 1}, Shape<3>{3, 5, 2}, Shape<3>{16, 41, 7}})
    add(text(shape), inputs(normal(shape, 1), normal(Shape<1>{shape[0]}, 2)),
        [](const auto& v, const auto& g) { return weight_norm(v, g); },
        // A norm, its inverse and two products; gains gather gradients over a row.
        {.tolerance = 4 * eps, .gradient = 32 * eps});
}

}  // namespace
