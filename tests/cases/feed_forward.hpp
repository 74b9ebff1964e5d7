#include "case.hpp"
#include "phonaut/ops/feed_forward.hpp"
#include "phonaut/ops/formula/swoosh.hpp"

namespace {
using namespace phonaut;
using namespace phonaut::testing;

CASES(feed_forward) {
  struct Size {
    long rows, in, hidden, out;
  };
  // The last ones have more than one block of rows.
  for (const Size& s : {Size{1, 1, 1, 1}, {0, 3, 4, 2}, {5, 7, 11, 3}, {130, 3, 4096, 2}, {76000, 128, 384, 128}}) {
    const Shape<2> x{s.rows, s.in}, up{s.hidden, s.in}, down{s.out, s.hidden};
    add("swoosh_l " + text(Shape<4>{s.rows, s.in, s.hidden, s.out}),
        inputs(normal(x, 1, 1), normal(up, 2), normal(Shape<1>{s.hidden}, 3), normal(down, 4),
               normal(Shape<1>{s.out}, 5)),
        [](const auto& a, const auto& w1, const auto& b1, const auto& w2, const auto& b2) {
          return feed_forward(a, w1, b1, w2, b2, formula::SwooshL{});
        },
        // Activations near their floor are small differences of larger numbers; then sums of up to 4096 products, and
        // of 130 rows in the gradients of weights.
        {.tolerance = 512 * eps,
         .bytes = 4.0 * double(s.rows * (s.in + s.out) + (s.in + s.out) * s.hidden),
         .flops = 2.0 * double(s.rows * s.hidden * (s.in + s.out)),
         .check = s.rows <= 130,
         .time = s.rows > 1000});
  }
  const Shape<3> shape{2, 3, 6};
  add("without biases " + text(shape),
      inputs(normal(shape, 1, 1), normal(Shape<2>{9, 6}, 2), normal(Shape<2>{4, 9}, 4)),
      [](const auto& x, const auto& w1, const auto& w2) { return feed_forward(x, w1, {}, w2, {}, formula::SwooshR{}); },
      {.tolerance = 64 * eps, .time = false});
}

}  // namespace
