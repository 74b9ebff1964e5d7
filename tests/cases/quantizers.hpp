#include "case.hpp"
#include "phonaut/losses/regression.hpp"
#include "phonaut/ops/embedding.hpp"
#include "phonaut/ops/nearest_code.hpp"
#include "phonaut/quantizers/fsq.hpp"
#include "phonaut/quantizers/gumbel.hpp"
#include "phonaut/quantizers/lfq.hpp"
#include "phonaut/quantizers/wasserstein_codes.hpp"

namespace {
using namespace phonaut;
using namespace phonaut::testing;

CASES(nearest_code) {
  struct Size {
    long rows, entries, dims;
    bool small;
  };
  // Entries around a tile's, rows around a register's and a task's, dimensions down to one and where rows crowd a
  // cache.
  for (const Size& size :
       {Size{1, 1, 1, true}, Size{9, 5, 3, true}, Size{17, 31, 8, true}, Size{8, 32, 7, true}, Size{13, 33, 16, true},
        Size{65, 100, 5, true}, Size{150, 15, 2, true}, Size{3, 29, 1024, true}, Size{75, 1024, 128, false},
        Size{750, 1024, 128, false}, Size{15000, 1024, 128, false}, Size{750, 1024, 8, false},
        Size{750, 1024, 256, false}, Size{1500, 2000, 1024, false}}) {
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

CASES(corner_entropies) {
  for (const auto& [rows, bits] : {std::pair{1L, 1L}, {9L, 3L}, {33L, 6L}, {6000L, 10L}})
    add(text(Shape<2>{rows, bits}), inputs(normal(Shape<2>{rows, bits}, 1)),
        [](const auto& x) {
          return corner_entropies(x, {.inverse_temperature = 0.7, .magnitude = 0.8, .clamp = 1e-5});
        },
        {.tolerance = 4 * eps,  // sums are double
         .gradient = 32 * eps,
         .check = rows < 100});
}

CASES(bit_entropies) {
  for (const auto& [rows, bits] : {std::pair{1L, 1L}, {9L, 3L}, {33L, 18L}})
    add(text(Shape<2>{rows, bits}), inputs(normal(Shape<2>{rows, bits}, 1, 2)),
        [](const auto& x) {
          const auto e = bit_entropies(x);
          return e.sample + e.mean;
        },
        {.tolerance = 16 * eps, .gradient = 64 * eps});  // logarithms of probabilities near 1/2
}

CASES(gumbel_mixture) {
  for (const auto& [rows, entries] : {std::pair{1L, 1L}, {7L, 5L}, {33L, 17L}})
    add(text(Shape<3>{rows, 2, entries}),
        inputs(normal(Shape<3>{rows, 2, entries}, 1), normal(Shape<3>{2, entries, 3}, 2)),
        [](const auto& logits, const auto& codebook) {
          return mix_entries(gumbel_choice(logits, {}, 0.7, false).weights, codebook);
        },
        {.tolerance = 16 * eps});  // a softmax and a product
}

CASES(wasserstein_codes) {
  // At its fixed point the distance does not depend on the potentials, so that they count as constants; dual numbers
  // go through all of the iterations and say so.
  for (const auto& [rows, entries] : {std::pair{1L, 1L}, {12L, 5L}})
    add(text(Shape<2>{rows, entries}), inputs(normal(Shape<2>{rows, 3}, 1, 0.5), normal(Shape<2>{entries, 3}, 2, 0.5)),
        [](const auto& z, const auto& codebook) {
          return wasserstein_codes(z, codebook, {}, {.smoothing = 1, .iterations = 100});
        },
        {.tolerance = 64 * eps, .gradient = 256 * eps, .time = false});  // the fixed point is found in float
}

}  // namespace
