#include "case.hpp"
#include "phonaut/losses/regression.hpp"
#include "phonaut/ops/embedding.hpp"
#include "phonaut/ops/nearest_code.hpp"
#include "phonaut/quantizers/fsq.hpp"

namespace {
using namespace phonaut;
using namespace phonaut::testing;

CASES(nearest_code) {
  struct Size {
    long rows, entries, dims;
    bool small;
  };
  // Entries around a panel's width, rows around a tile's, dimensions down to one.
  for (const Size& size : {Size{1, 1, 1, true}, Size{9, 5, 3, true}, Size{17, 31, 8, true}, Size{8, 32, 7, true},
                           Size{13, 33, 16, true}, Size{65, 100, 5, true}, Size{750, 1024, 128, false},
                           Size{15000, 1024, 128, false}, Size{750, 1024, 8, false}, Size{750, 1024, 256, false}}) {
    const auto x = normal(Shape<2>{size.rows, size.dims}, 1), table = normal(Shape<2>{size.entries, size.dims}, 2);
    // The squared distance to the chosen entry has a true derivative: the choice is constant around it.
    if (size.small)
      add(text(Shape<3>{size.rows, size.entries, size.dims}), inputs(x, table),
          [](const auto& a, const auto& t) {
            auto& ctx = a.context();
            return mse_loss(a, embedding(ctx, nearest_code(ctx, a.tensor(), t.tensor()), t));
          },
          {.tolerance = 8 * eps, .time = false});
    else
      add(text(Shape<3>{size.rows, size.entries, size.dims}), inputs(x, table),
          [](const auto& a, const auto& t) {
            auto& ctx = a.context();
            nearest_code(ctx, a.tensor(), t.tensor());
            return a;
          },
          {.flops = 2.0 * static_cast<double>(size.rows * size.entries * size.dims), .check = false});
  }
}

CASES(fsq) {
  for (const FsqBound bound : {FsqBound::tan, FsqBound::atanh})
    for (const long rows : {1L, 33L, 100000L}) {
      const FsqLevels levels({8, 5, 5, 5}, bound, 1e-3);
      add((bound == FsqBound::tan ? "tan " : "atanh ") + std::to_string(rows), inputs(normal(Shape<2>{rows, 4}, 1, 2)),
          [levels](const auto& z) { return fsq_bound(z, levels); },
          {.tolerance = 4 * eps, .gradient = 32 * eps, .bytes = 32.0 * static_cast<double>(rows), .check = rows < 100});
    }
}

}  // namespace
