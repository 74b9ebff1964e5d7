#include "case.hpp"
#include "phonaut/ops/embedding.hpp"

namespace {
using namespace phonaut;
using namespace phonaut::testing;

CASES(embedding) {
  for (auto [entries, width] : {std::pair{1L, 1L}, {9L, 7L}})
    add(text(Shape<2>{entries, width}), inputs(normal(Shape<2>{entries, width}, 1)),
        [entries = entries](const auto& table) {
          auto& ctx = table.context();
          return embedding(ctx, numbers(ctx, Shape<2>{2, 5}, [&](long i) { return i * i % entries; }), table);
        },
        {.tolerance = 0, .gradient = 8 * eps});  // copies; the gradient adds up to ten of them
}

}  // namespace
