// Handlers of vector, residual and scalar quantizers, and of k-means.
#include <cmath>

#include "phonaut/quantizers/fsq.hpp"
#include "phonaut/quantizers/rvq.hpp"
#include "quantizers_support.hpp"

namespace phonaut::golden {
namespace {

const Register vq_op("quantizer.vq_ste", [](auto& g) {
  auto& ctx = g.context();
  const auto x = g.input("x", rank<2>);
  const auto table = g.weight("codebook", rank<2>);
  const double weight = g.config.number("commitment_weight");
  using B = typename std::remove_cvref_t<decltype(g)>::Backend;
  const auto code = nearest_code(ctx, x.tensor(), table.tensor());
  output_indices(g, "indices", numbers(ctx, code), "margin");
  const auto q = embedding(ctx, code, table);
  g.output("quantized", straight_through(x, q.tensor()));
  const auto commitment = mse_loss(x, ctx.detach(q));
  g.output("commitment", ctx.detach(commitment));
  g.loss_of("", typename B::Scalar(weight) * commitment);
  g.output("codebook_loss", mse_loss(ctx.detach(x), q));
});

const Register ema_op("quantizer.vq_ema", [](auto& g) {
  using B = typename std::remove_cvref_t<decltype(g)>::Backend;
  auto& ctx = g.context();
  const std::string flavour = g.config.text("flavour");
  EmaRule rule{.decay = g.config.number("decay"), .epsilon = g.config.number("eps")};
  rule.threshold = g.config.number("dead_threshold");
  if (flavour == "moshi") {
    rule.smoothing = EmaRule::Smoothing::clamp;
    rule.revived_usage = g.config.number("replaced_usage_ratio");
    rule.check_every = g.config.integer("check_every");
    if (rule.threshold > 0) rule.revival = EmaRule::Revival::before;
  } else if (flavour == "lucidrains") {
    if (rule.threshold > 0) rule.revival = EmaRule::Revival::after;
  } else if (flavour != "encodec") {
    throw Unsupported("flavour " + flavour);
  }
  const std::vector<long> shape = g.shape("param.embed");
  Codebook<B> book(ctx, shape[0], shape[1]);
  assign(ctx.backend(), book.embedding.tensor(), values_of(ctx, tensor<B, 2>(g, "param.embed")));
  assign(ctx.backend(), book.embedding_sum.tensor(), values_of(ctx, tensor<B, 2>(g, "param.embed_sum")));
  assign(ctx.backend(), book.cluster_size.tensor(), values_of(ctx, tensor<B, 1>(g, "param.cluster_size")));
  // Moshi keeps sums and counts, and makes entries of them when they are read.
  if (flavour == "moshi") book.refresh(ctx, rule);
  for (long i = 0; i < g.config.integer("steps"); ++i) {
    const std::string step = std::to_string(i);
    ctx.set_step(i);
    const auto x = tensor<B, 2>(g, "input.x" + step);
    const auto code = nearest_code(ctx, x, book.embedding.tensor());
    output_indices(g, "indices" + step, numbers(ctx, code), "margin" + step);
    Tensor<B, 2> replacement;
    if (g.has("input.replacement" + step)) replacement = tensor<B, 2>(g, "input.replacement" + step);
    const auto dead = book.update(ctx, x, code, rule, replacement);
    if (dead) {
      const auto flags = to_vector(dead);
      g.output("dead" + step, std::vector<long>(flags.begin(), flags.end()));
    }
    g.output("embed" + step, numbers(ctx, book.embedding.tensor()));
    g.output("embed_sum" + step, numbers(ctx, book.embedding_sum.tensor()));
    g.output("cluster_size" + step, numbers(ctx, book.cluster_size.tensor()));
  }
});

const Register kmeans_op("quantizer.kmeans", [](auto& g) {
  using B = typename std::remove_cvref_t<decltype(g)>::Backend;
  auto& ctx = g.context();
  const bool refill = g.config.text("empty_cluster") == "refill";
  Tensor<B, 3> rows;
  if (refill) rows = tensor<B, 3>(g, "input.replacement");
  const auto clusters =
      kmeans_from(ctx, tensor<B, 2>(g, "input.x"), tensor<B, 2>(g, "input.start"), g.config.integer("iters"),
                  [&](long i) -> Tensor<B, 2> {
                    if (!refill) return {};
                    const auto all = ctx.constant(rows);
                    return reshape(slice(all, 0, i, i + 1), Shape<2>{rows.extent(1), rows.extent(2)}).tensor();
                  });
  g.output("means", numbers(ctx, clusters.means));
  g.output("last_indices", numbers(ctx, clusters.codes));
  std::vector<long> counts;
  for (double n : numbers(ctx, clusters.counts)) counts.push_back(std::lround(n));
  g.output("last_counts", counts);
});
const Register kmeans_minibatch_op("quantizer.kmeans_minibatch", [](auto& g) {
  using B = typename std::remove_cvref_t<decltype(g)>::Backend;
  auto& ctx = g.context();
  const auto centers = tensor<B, 2>(g, "param.centers");
  Clusters<B> clusters{ctx.clone(centers), ctx.zeros(Shape<1>{centers.extent(0)}), {}};
  for (long i = 0; i < g.config.integer("steps"); ++i) {
    const std::string step = std::to_string(i);
    kmeans_minibatch(ctx, tensor<B, 2>(g, "input.x" + step), clusters);
    g.output("indices" + step, numbers(ctx, clusters.codes));
    g.output("centers" + step, numbers(ctx, clusters.means));
    g.output("counts" + step, numbers(ctx, clusters.counts));
  }
});

const Register rotation_op("quantizer.rotation_trick", [](auto& g) {
  const auto e = g.input("e", rank<2>);
  const auto q = tensor<typename std::remove_cvref_t<decltype(g)>::Backend, 2>(g, "input.q");
  g.output("out", rotate_to(e, q));
  std::vector<double> scale;
  const auto from = values_of(e), to = values_of(g.context(), q);
  const size_t width = static_cast<size_t>(e.extent(1));
  for (size_t n = 0; n < from.size() / width; ++n) {
    double ee = 0, qq = 0;
    for (size_t d = n * width; d < (n + 1) * width; ++d) {
      ee += static_cast<double>(from[d]) * static_cast<double>(from[d]);
      qq += static_cast<double>(to[d]) * static_cast<double>(to[d]);
    }
    scale.push_back(std::sqrt(qq / ee));
  }
  g.output("scale", scale);
});

/// A residual quantizer with given codebooks (Q, K, D).
template <class B>
ResidualQuantizer<B> residual(Golden<B>& g, const Tensor<B, 3>& books, typename ResidualQuantizer<B>::Config config) {
  config.levels = books.extent(0);
  config.codebook.entries = books.extent(1);
  config.dims = books.extent(2);
  ResidualQuantizer<B> rvq(g.context(), config);
  for (long i = 0; i < config.levels; ++i) {
    const auto book = slice(g.context().constant(books), 0, i, i + 1);
    assign(g.context().backend(), rvq.levels[static_cast<size_t>(i)].book.embedding.tensor(), values_of(book));
  }
  return rvq;
}
const Register rvq_op("quantizer.rvq", [](auto& g) {
  using B = typename std::remove_cvref_t<decltype(g)>::Backend;
  auto& ctx = g.context();
  typename ResidualQuantizer<B>::Config config;
  config.codebook.commitment_weight = g.config.number("commitment_weight");
  config.mean_of_levels = g.config.text("loss").starts_with("mean");
  config.residual_through_estimator = g.config.text("residual") != "detached";
  const auto books = tensor<B, 3>(g, "param.codebooks");
  const auto rvq = residual(g, books, config);
  const auto x = g.sequence("x", "NCT");
  const Quantized<B> y = rvq(x);
  output_indices(g, "codes", level_by_level(ctx, y.codes), "margin");
  g.output("quantized", y.quantized, "NCT");
  g.output("loss", y.loss);
  // The loss of each level alone: that of what the levels before left over.
  std::vector<double> losses;
  auto left = ctx.detach(x.frames);
  for (long i = 0; i < books.extent(0); ++i) {
    const auto part =
        rvq.levels[static_cast<size_t>(i)](reshape(packed(left), Shape<2>{x.batch() * x.time(), x.channels()}));
    losses.push_back(static_cast<double>(item(part.loss)));
    left = left - ctx.constant(reshape(ctx.constant(part.q), left.shape()).tensor());
  }
  g.output("losses", losses);
  const auto decoded = rvq.decode(ctx, rvq.encode(x));
  if (values_of(decoded) != values_of(y.quantized.frames))
    throw NumericalError("decode(encode(x)) differs from what the call returns");
});

const Register fsq_op("quantizer.fsq", [](auto& g) {
  auto& ctx = g.context();
  const std::string variant = g.config.text("variant");
  if (variant != "tan" && variant != "atanh") throw Unsupported("variant " + variant);
  const FsqLevels levels(g.config.integers("levels"), variant == "tan" ? FsqBound::tan : FsqBound::atanh,
                         g.config.number("eps"));
  const auto z = g.input("z", rank<2>);
  const auto bounded = fsq_bound(z, levels);
  const auto [codes, index] = fsq_codes(z, levels);
  g.output("bounded", ctx.detach(bounded));
  // Where float rounding may fall to either side of one half, neither side is wrong.
  const auto clear = g.values("output.distance_to_half");
  const auto sure = [&](size_t i) { return clear[i] > 1e-5; };
  g.output("codes", codes, [clear](long i) { return clear[static_cast<size_t>(i)] > 1e-5; });
  auto indices = numbers(ctx, index);
  const auto want_indices = g.integers("output.indices"), want_digits = g.integers("output.digits");
  for (size_t i = 0; i < clear.size(); ++i)
    if (!sure(i))
      indices[i / static_cast<size_t>(levels.channels)] = want_indices[i / static_cast<size_t>(levels.channels)];
  g.output("indices", indices);
  std::vector<long> digits;
  std::vector<double> distance;
  const auto values = values_of(codes);
  const auto before = values_of(bounded);
  for (size_t i = 0; i < values.size(); ++i) {
    const double width = static_cast<double>(levels.width(static_cast<long>(i) % levels.channels));
    digits.push_back(sure(i) ? std::lround((static_cast<double>(values[i]) + 1) * width) : want_digits[i]);
    distance.push_back(0.5 -
                       std::fabs(static_cast<double>(before[i]) - std::nearbyint(static_cast<double>(before[i]))));
  }
  g.output("digits", digits);
  g.output("distance_to_half", distance);
});

}  // namespace
}  // namespace phonaut::golden
