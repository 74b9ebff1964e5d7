#include "case.hpp"
#include "phonaut/losses/mutual_information.hpp"
#include "phonaut/losses/speaker.hpp"

namespace {
using namespace phonaut;
using namespace phonaut::testing;

CASES(speaker) {
  const std::vector<std::int32_t> some = {2, 0, -1, 1, 2};
  add("take_at", inputs(normal(Shape<2>{5, 3}, 1)),
      [=](const auto& x) { return take_at(x, labels_of(x.context(), some)); }, {.tolerance = eps});
  add("put_at", inputs(normal(Shape<2>{5, 3}, 1), normal(Shape<1>{5}, 2)),
      [=](const auto& x, const auto& v) { return put_at(x, labels_of(x.context(), some), v); }, {.tolerance = eps});
  for (const double margin : {0.0, 0.2, 0.5})
    add(concat("aam_softmax, margin ", margin), inputs(normal(Shape<2>{5, 8}, 1), normal(Shape<2>{3, 8}, 2)),
        [=](const auto& x, const auto& w) {
          return aam_softmax_loss(x, w, labels_of(x.context(), some), {.margin = margin});
        },
        // Cosines carry a few ulp, which the scale of 30 turns into that many in the exponent.
        {.tolerance = 64 * eps, .gradient = 256 * eps});
  add("ge2e", inputs(normal(Shape<3>{3, 4, 6}, 1), normal(Shape<0>{}, 2, 0, 10)),
      [](const auto& x, const auto& scale) { return ge2e_loss(x, scale); },
      {.tolerance = 32 * eps, .gradient = 128 * eps});
  add("guess_loss", inputs(normal(Shape<2>{6, 5}, 1), normal(Shape<2>{6, 5}, 2), normal(Shape<2>{6, 5}, 3)),
      [](const auto& mean, const auto& log_variance, const auto& y) {
        return guess_loss({mean, log_variance}, y);
      },
      {.tolerance = 8 * eps});
  // Representations far from zero: the bound does not depend on where they lie.
  for (const double place : {0.0, 100.0})
    add(concat("club_bound about ", place),
        inputs(normal(Shape<2>{6, 5}, 1, 1, place), normal(Shape<2>{6, 5}, 2), normal(Shape<2>{6, 5}, 3, 1, place)),
        [](const auto& mean, const auto& log_variance, const auto& y) {
          return club_bound({mean, log_variance}, y);
        },
        // Differences of numbers about `place`, rounded once, against a sum of terms that cancel to about one.
        {.tolerance = (64 + place) * eps, .gradient = (256 + 4 * place) * eps});
}

}  // namespace
