#include "case.hpp"
#include "phonaut/ops/attention.hpp"

namespace {
using namespace phonaut;
using namespace phonaut::testing;

// Products over a head's channels, a softmax, products over the keys; and their chain backwards.
CASES(attention) {
  struct Size {
    long batch, queries, keys, heads, width, value_width;
    bool causal;
    std::vector<long> lengths;
  };
  for (const auto& [batch, queries, keys, heads, width, value_width, causal, lengths] :
       {Size{1, 1, 1, 1, 1, 1, false, {}}, Size{2, 5, 7, 2, 3, 4, false, {}}, Size{2, 6, 6, 3, 4, 2, true, {}},
        Size{3, 5, 5, 2, 4, 4, false, {5, 0, 3}}, Size{2, 70, 70, 2, 3, 3, true, {70, 65}},
        Size{1, 1000, 1000, 8, 64, 64, false, {}}}) {
    const double products = 2.0 * static_cast<double>(batch * queries * keys * heads * (width + value_width));
    add(text(Shape<3>{batch, queries, heads * width}) + " by " + std::to_string(keys) + (causal ? " causal" : ""),
        inputs(normal(Shape<3>{batch, queries, heads * width}, 1), normal(Shape<3>{batch, keys, heads * width}, 2),
               normal(Shape<3>{batch, keys, heads * value_width}, 3)),
        [heads = heads, causal = causal, lengths = lengths](const auto& q, const auto& k, const auto& v) {
          const Lengths counts = lengths.empty() ? Lengths{} : lengths_of(q.context(), lengths);
          return attention(q, k, v, {.heads = heads, .causal = causal}, counts);
        },
        {.tolerance = 16 * eps, .gradient = 64 * eps, .flops = products, .check = queries < 100});
  }
}

}  // namespace
