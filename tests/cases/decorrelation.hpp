#include "case.hpp"
#include "phonaut/losses/decorrelation.hpp"
#include "phonaut/losses/diversity.hpp"
#include "phonaut/losses/sliced_wasserstein.hpp"

namespace {
using namespace phonaut;
using namespace phonaut::testing;

CASES(decorrelation) {
  const auto x = normal(Shape<2>{32, 12}, 1, 0.8), y = normal(Shape<2>{32, 12}, 2, 1.4, 0.5);
  // Squares of covariances of 32 samples, each a sum of 32 products.
  const Limits limits{.tolerance = 64 * eps, .gradient = 256 * eps};
  add(
      "VICReg", inputs(x, y), [](const auto& a, const auto& b) { return vicreg_loss(a, b); }, limits);
  add(
      "Barlow Twins", inputs(x, y), [](const auto& a, const auto& b) { return barlow_loss(a, b); }, limits);
  add(
      "two samples", inputs(normal(Shape<2>{2, 3}, 1), normal(Shape<2>{2, 3}, 2)),
      [](const auto& a, const auto& b) { return vicreg_loss(a, b); }, limits);
  for (const Shape<2>& shape : {Shape<2>{1, 1}, {7, 3}, {70, 35}})
    add("centre columns " + text(shape), inputs(normal(shape, 1)),
        [](const auto& a) { return centre_columns(a) + centre_columns(a); }, {.tolerance = 8 * eps});
  add("column mean", inputs(normal(Shape<2>{70, 35}, 1)), [](const auto& a) { return column_mean(a); },
      {.tolerance = 8 * eps});
}

CASES(diversity) {
  for (const Shape<3>& shape : {Shape<3>{1, 1, 2}, {12, 2, 6}, {200, 2, 320}})
    add(text(shape), inputs(normal(shape, 1)), [](const auto& x) { return diversity_loss(x); },
        {.tolerance = 64 * eps, .gradient = 256 * eps, .check = shape[0] < 100});
}

CASES(sliced_wasserstein) {
  for (const auto& [samples, dims, slices] :
       {std::tuple{1L, 1L, 1L}, {48L, 8L, 16L}, {33L, 5L, 40L}, {2000L, 64L, 256L}}) {
    const long count = slices;
    add(text(Shape<3>{samples, dims, slices}), inputs(normal(Shape<2>{samples, dims}, 1, 1.5, -0.3)),
        [count](const auto& x) { return sliced_wasserstein(x, random_slices(x.context(), x.extent(1), count)); },
        {.tolerance = 64 * eps, .gradient = 256 * eps, .check = samples < 100});
  }
}

}  // namespace
