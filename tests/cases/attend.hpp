#include "case.hpp"
#include "phonaut/ops/attend.hpp"

namespace {
using namespace phonaut;
using namespace phonaut::testing;

CASES(attend) {
  struct Sizes {
    long batch, all_heads, heads, queries, keys, channels;
    std::vector<long> lengths;
  };
  for (const Sizes& s : std::vector<Sizes>{{1, 1, 1, 1, 1, 1, {}},
                                           {2, 4, 4, 9, 9, 12, {}},
                                           {2, 4, 1, 9, 9, 7, {}},
                                           {2, 2, 2, 3, 8, 6, {}},
                                           {3, 3, 2, 7, 7, 10, {7, 0, 4}},
                                           {1, 4, 4, 33, 33, 48, {20}},
                                           {1, 4, 4, 500, 500, 48, {}},
                                           {8, 4, 1, 250, 250, 192, {}}}) {
    const double products = double(s.batch * s.queries * s.keys * s.channels);
    add(concat(s.batch, "x", s.queries, "x", s.keys, " heads ", s.heads, " of ", s.all_heads,
               s.lengths.empty() ? "" : " padded"),
        inputs(normal(Shape<4>{s.batch, s.all_heads, s.queries, s.keys}, 1),
               normal(Shape<3>{s.batch, s.keys, s.channels}, 2)),
        [s](const auto& weights, const auto& values) {
          return attend(weights, values, s.heads,
                        s.lengths.empty() ? Lengths() : lengths_of(values.context(), s.lengths));
        },
        // Sums of up to 33 products of unit variance.
        {.tolerance = 32 * eps, .gradient = 64 * eps, .flops = 2 * products, .check = s.queries <= 40});
  }
}

}  // namespace
