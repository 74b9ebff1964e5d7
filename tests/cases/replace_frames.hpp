#include "case.hpp"
#include "phonaut/ops/replace_frames.hpp"

namespace {
using namespace phonaut;
using namespace phonaut::testing;

CASES(replace_frames) {
  for (auto [n, t, c] : {std::tuple{1L, 1L, 1L}, {2L, 5L, 3L}, {3L, 4L, 17L}}) {
    std::vector<int> hidden(static_cast<size_t>(n * t));
    for (size_t i = 0; i < hidden.size(); ++i) hidden[i] = i % 3 == 1;
    // Values are copied; the gradient of the vector is a sum of a few frames.
    add(text(Shape<3>{n, t, c}), inputs(normal(Shape<3>{n, t, c}, 1), normal(Shape<1>{c}, 2)),
        [hidden](const auto& x, const auto& v) { return replace_frames(x, hidden, v); },
        {.tolerance = 0, .gradient = 4 * eps, .bytes = 8.0 * n * t * c});
  }
}

}  // namespace
