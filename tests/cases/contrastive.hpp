#include "case.hpp"
#include "phonaut/losses/contrastive.hpp"

namespace {
using namespace phonaut;
using namespace phonaut::testing;

CASES(contrastive) {
  // Cosines through the temperature: ten times their rounding, in exponents.
  const Limits limits{.tolerance = 64 * eps, .gradient = 256 * eps};
  for (const auto& [counts, dims, negatives] : {std::tuple{std::vector<long>{1}, 3L, 2L},
                                                {std::vector<long>{4, 0, 7}, 8L, 5L},
                                                {std::vector<long>{30, 2}, 19L, 10L}}) {
    const std::vector<long> utterances = counts;
    const long rows = counts[0] + (counts.size() > 1 ? counts[1] : 0) + (counts.size() > 2 ? counts[2] : 0),
               k = negatives;
    add(
        "wav2vec 2.0, " + std::to_string(rows) + " rows",
        inputs(normal(Shape<2>{rows, dims}, 1), normal(Shape<2>{rows, dims}, 2)),
        [=](const auto& c, const auto& q) { return wav2vec2_loss(c, q, sample_negatives(c.context(), utterances, k)); },
        limits);
  }
  add(
      "CPC", inputs(normal(Shape<3>{2, 8, 6}, 1), normal(Shape<3>{2, 8, 5}, 2), normal(Shape<3>{3, 5, 6}, 3)),
      [](const auto& c, const auto& z, const auto& w) {
        auto& ctx = c.context();
        auto choice = ctx.template empty_of<std::int32_t, 2>({10, 4});
        for (long i = 0; i < choice.size(); ++i) choice.data()[i] = static_cast<std::int32_t>(i * 5 % 16);
        return cpc_loss(c, z, w, choice, 0.2);
      },
      limits);
  add(
      "NT-Xent", inputs(normal(Shape<2>{6, 5}, 1), normal(Shape<2>{6, 5}, 2)),
      [](const auto& x, const auto& y) { return ntxent_loss(x, y, 0.3); }, limits);
  add(
      "CLIP", inputs(normal(Shape<2>{6, 5}, 1), normal(Shape<2>{6, 5}, 2), normal(Shape<0>{}, 3, 0.1, 2.5)),
      [](const auto& x, const auto& y, const auto& s) { return clip_loss(x, y, s); }, limits);
  add("CLIP above its largest scale",
      inputs(normal(Shape<2>{4, 3}, 1), normal(Shape<2>{4, 3}, 2), normal(Shape<0>{}, 3, 0, 5)),
      [](const auto& x, const auto& y, const auto& s) { return clip_loss(x, y, s); },
      {.tolerance = 256 * eps, .gradient = 1024 * eps});
}

CASES(gathered_products) {
  const auto u = normal(Shape<2>{5, 7}, 1), v = normal(Shape<2>{4, 7}, 2), scores = normal(Shape<2>{5, 3}, 3);
  const auto choose = [](auto& ctx) {
    auto choice = ctx.template empty_of<std::int32_t, 2>({5, 3});
    for (long i = 0; i < choice.size(); ++i) choice.data()[i] = static_cast<std::int32_t>(i * 3 % 4);
    return choice;
  };
  // A dot product of 7 terms.
  add("(5, 7) (4, 7)", inputs(u, v),
      [=](const auto& a, const auto& b) { return gathered_products(a, b, choose(a.context())); },
      {.tolerance = 8 * eps});
  add("with themselves", inputs(v),
      [=](const auto& a) {
        auto choice = a.context().template empty_of<std::int32_t, 2>({4, 2});
        for (long i = 0; i < 8; ++i) choice.data()[i] = static_cast<std::int32_t>(i % 4);
        return gathered_products(a, a, choice);
      },
      {.tolerance = 8 * eps});
  add("diagonal", inputs(normal(Shape<2>{4, 4}, 1)), [](const auto& x) { return diagonal(with_diagonal(x, 3) + x); },
      {.tolerance = 2 * eps});
  add("scaled by a scalar", inputs(normal(Shape<0>{}, 1), normal(Shape<2>{5, 9}, 2)),
      [](const auto& a, const auto& x) { return scale_by(a, x); }, {.tolerance = 8 * eps});
  add("scaled by itself", inputs(normal(Shape<0>{}, 1)), [](const auto& a) { return scale_by(a, a); },
      {.tolerance = 4 * eps});
}

}  // namespace
