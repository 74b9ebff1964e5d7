#include "case.hpp"
#include "phonaut/ops/scale_utterances.hpp"

namespace {
using namespace phonaut;
using namespace phonaut::testing;

CASES(scale_utterances) {
  for (auto [batch, time, channels] : {std::tuple{1L, 1L, 1L}, {3L, 5L, 7L}, {2L, 9L, 33L}, {8L, 250L, 512L}}) {
    const Shape<2> mask{batch, channels};
    add(text(Shape<3>{batch, time, channels}), inputs(normal(Shape<3>{batch, time, channels}, 1)),
        [mask](const auto& x) { return scale_utterances(x, input(x.context(), mask, normal(mask, 2).data).tensor()); },
        {.tolerance = 2 * eps,  // one product
         .bytes = 8.0 * double(batch * time * channels),
         .check = batch * time < 100});
  }
  add("image 2x3x4x5", inputs(normal(Shape<4>{2, 3, 4, 5}, 1)),
      [](const auto& x) {
        return scale_utterances(x, input(x.context(), Shape<2>{2, 5}, normal(Shape<2>{2, 5}, 2).data).tensor());
      },
      {.tolerance = 2 * eps, .time = false});
}

}  // namespace
