#include "case.hpp"
#include "phonaut/losses/contrastive.hpp"
#include "phonaut/ops/activations.hpp"

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
        const auto choice = numbers(ctx, Shape<2>{10, 4}, [](long i) { return i * 5 % 16; });
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
  const auto choose = [](auto& ctx) { return numbers(ctx, Shape<2>{5, 3}, [](long i) { return i * 3 % 4; }); };
  // A dot product of 7 terms.
  add("(5, 7) (4, 7)", inputs(u, v),
      [=](const auto& a, const auto& b) { return gathered_products(a, b, choose(a.context())); },
      {.tolerance = 8 * eps});
  // Rows of several registers with a rest, more choosers than chosen, a row that nobody chose.
  for (const auto& [rows, targets, width, chosen] :
       {std::tuple{40L, 9L, 300L, 6L}, {3L, 50L, 17L, 5L}, {1600L, 1600L, 256L, 101L}}) {
    const long m = rows, p = targets, n = chosen;
    add(concat("(", m, ", ", width, ") (", p, ", ", width, ") ", n),
        inputs(normal(Shape<2>{m, width}, 1), normal(Shape<2>{p, width}, 2)),
        [=](const auto& a, const auto& b) {
          const auto choice =
              numbers(a.context(), Shape<2>{m, n}, [&](long i) { return i * 7919 % (p > 9 ? p - 1 : p); });
          return gathered_products(a, b, choice);
        },
        {.tolerance = 32 * eps,  // sums of up to 300 products
         .gradient = 64 * eps,
         .flops = 2.0 * static_cast<double>(m * n * width),
         .check = m < 1000});
  }
  // Rows 0 and 2 of q are equal: where one is the positive, the other is no negative.
  add("without copies", inputs(scores, normal(Shape<2>{2, 3}, 4)),
      [](const auto& x, const auto& half) {
        const auto q = concatenate(std::vector{half, half}, 0);
        const auto choice = numbers(x.context(), Shape<2>{5, 3}, [](long i) { return i * 3 % 4; });
        // Minus infinity would make of every sum nothing.
        return sigmoid(exclude_copies(x, q, choice));
      },
      {.tolerance = 4 * eps});
  add("with themselves", inputs(v),
      [=](const auto& a) {
        const auto choice = numbers(a.context(), Shape<2>{4, 2}, [](long i) { return i % 4; });
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
