#include "case.hpp"
#include "phonaut/ops/embedding.hpp"

namespace {
using namespace phonaut;
using namespace phonaut::testing;

CASES_WITHOUT_CUDA(embedding) {
  for (auto [entries, width] : {std::pair{1L, 1L}, {9L, 7L}})
    add(text(Shape<2>{entries, width}), inputs(normal(Shape<2>{entries, width}, 1)),
        [entries = entries](const auto& table) {
          auto& ctx = table.context();
          auto ids = ctx.template empty_of<std::int32_t, 2>(Shape<2>{2, 5});
          for (long i = 0; i < 10; ++i) ids.data()[i] = static_cast<std::int32_t>(i * i % entries);
          return embedding(ctx, ids, table);
        },
        {.tolerance = 0, .gradient = 8 * eps});  // copies; the gradient adds up to ten of them
}

}  // namespace
