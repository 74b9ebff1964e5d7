#include "case.hpp"
#include "phonaut/ops/arithmetic.hpp"
#include "phonaut/ops/keep_utterances.hpp"

namespace {
using namespace phonaut;
using namespace phonaut::testing;

template <class B>
UtteranceFlags every_third(Context<B>& ctx, long batch) {
  UtteranceFlags keep = ctx.empty_lengths(batch);
  for (long n = 0; n < batch; ++n) keep.data()[n] = n % 3 != 1;
  return keep;
}

// Copies and zeros: nothing rounds but the sum of the two uses.
CASES(keep_utterances) {
  for (auto [batch, time, channels] : {std::tuple{1L, 3L, 2L}, {2L, 1L, 1L}, {5L, 4L, 9L}, {8L, 250L, 256L}}) {
    const Shape<3> shape{batch, time, channels};
    const double n = double(element_count(shape));
    add(text(shape), inputs(normal(shape, 1)),
        [](const auto& x) { return keep_utterances(x, every_third(x.context(), x.extent(0))); },
        {.tolerance = eps, .bytes = 8 * n, .check = n < 1000});
    add("choose " + text(shape), inputs(normal(shape, 1), normal(shape, 2)),
        [](const auto& x, const auto& y) { return choose_utterances(every_third(x.context(), x.extent(0)), x, y); },
        {.tolerance = eps, .bytes = 8 * n, .check = n < 1000});
  }
  add("both ways 4x3", inputs(normal(Shape<2>{4, 3}, 1)),
      [](const auto& x) { return choose_utterances(every_third(x.context(), 4), x, 3 * x); },
      {.tolerance = 4 * eps, .time = false});
}

}  // namespace
