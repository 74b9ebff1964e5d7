#include "case.hpp"
#include "phonaut/ops/group_norm.hpp"

namespace {
using namespace phonaut;
using namespace phonaut::testing;

CASES(group_norm) {
  struct Size {
    long batch, time, channels, groups;
    std::vector<long> lengths;
  };
  for (const auto& [batch, time, channels, groups, lengths] :
       {Size{1, 1, 8, 2, {}}, Size{2, 5, 6, 3, {5, 2}}, Size{2, 7, 5, 5, {3, 7}}, Size{1, 300, 40, 40, {290}},
        Size{2, 9, 48, 3, {9, 0}}, Size{1, 6, 37, 1, {}}, Size{4, 500, 256, 256, {}}}) {
    const auto x = normal(Shape<3>{batch, time, channels}, 1, 1, 0.5);
    const bool check = time < 400;
    // As for layer_norm; groups of four elements can have a small variance, which magnifies the rounding of the mean.
    add(text(x.shape) + ", groups " + std::to_string(groups),
        inputs(x, normal(Shape<1>{channels}, 2), normal(Shape<1>{channels}, 4)),
        [groups = groups, lengths = lengths](const auto& v, const auto& gain, const auto& bias) {
          using B = typename std::remove_cvref_t<decltype(v)>::Backend;
          const Sequence<B> in = lengths.empty() ? Sequence<B>{v, {}, 0} : sequence_of(v, lengths);
          return group_norm(in, groups, gain, bias).frames;
        },
        {.tolerance = 64 * eps,
         .gradient = 128 * eps,
         .bytes = 12.0 * static_cast<double>(element_count(x.shape)),
         .check = check});
  }
}

}  // namespace
