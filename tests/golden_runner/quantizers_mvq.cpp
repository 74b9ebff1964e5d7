// Handlers of multi-codebook quantization, its prediction, and online clusters.
#include "phonaut/quantizers/mvq.hpp"
#include "phonaut/quantizers/mvq_prediction.hpp"
#include "phonaut/quantizers/online_clusters.hpp"
#include "quantizers_support.hpp"

namespace phonaut::golden {
namespace {

/// The number behind a prefix in the keys of a file, such as 0, 1 and 3 for output.indexes_refine.
template <class B>
std::vector<long> numbered(Golden<B>& g, const std::string& prefix) {
  std::vector<long> found;
  for (long i = 0; i < 100; ++i)
    if (g.has(prefix + std::to_string(i))) found.push_back(i);
  return found;
}

const Register mvq_op("quantizer.mvq", [](auto& g) {
  using B = typename std::remove_cvref_t<decltype(g)>::Backend;
  using S = typename B::Scalar;
  auto& ctx = g.context();
  const auto points = tensor<B, 2>(g, "input.x");
  const long rows = points.extent(0), books = g.config.integer("codebooks"), entries = g.config.integer("entries");
  MultiCodebookQuantizer<B> mvq(
      ctx,
      {.dims = points.extent(1), .books = books, .entries = entries, .scale_speed = g.config.number("scale_speed")});
  g.load(mvq);
  const Var<B, 3> x = reshape(ctx.constant(points), Shape<3>{1, rows, points.extent(1)});
  const auto expected = values_of(x);
  for (const long rounds : numbered(g, "output.indexes_refine")) {
    const auto codes = mvq.encode({x, {}, 0}, rounds);
    const auto host = host_codes(ctx, codes);
    const std::string suffix = "_refine" + std::to_string(rounds);
    g.output("indexes" + suffix, std::vector<long>(host.begin(), host.end()));
    const auto decoded = values_of(mvq.decode(ctx, codes));
    std::vector<double> errors(static_cast<size_t>(rows), 0.0);
    for (size_t i = 0; i < decoded.size(); ++i) {
      const double apart = static_cast<double>(decoded[i]) - static_cast<double>(expected[i]);
      errors[i / static_cast<size_t>(points.extent(1))] += apart * apart;
    }
    if (g.has("output.sq_error" + suffix)) g.output("sq_error" + suffix, errors);
    if (g.has("output.decoded" + suffix))
      g.output("decoded" + suffix, std::vector<double>(decoded.begin(), decoded.end()));
    if (g.has("output.bytes" + suffix)) {
      const auto bytes = detail::pack_code_bytes(host, books, entries);
      g.output("bytes" + suffix, std::vector<long>(bytes.begin(), bytes.end()));
      if (detail::unpack_code_bytes(bytes, books, entries) != host)
        throw NumericalError("codes do not come back from their bytes");
    }
  }
  // The gradient in the file is that of a sum of three terms after one round of search.
  if (g.config.text("grad_of") != "rel_reconstruction + logprob + 0.5*logits_entropy (refine 1)")
    throw Unsupported("the gradient of " + g.config.text("grad_of"));
  const MvqTerms<B> t = mvq.losses(ctx.constant(points), 1);
  g.output("rel_reconstruction", ctx.detach(t.reconstruction));
  g.output("logprob", ctx.detach(t.log_probability));
  g.output("logits_entropy", ctx.detach(t.logits_entropy));
  g.output("index_entropy", std::vector<double>{t.code_entropy});
  g.loss_of("sum", t.reconstruction + t.log_probability + S(0.5) * t.logits_entropy);
});

const Register joint_op("quantizer.mvq_joint_loss", [](auto& g) {
  using B = typename std::remove_cvref_t<decltype(g)>::Backend;
  auto& ctx = g.context();
  const auto x = g.input("predictor", rank<2>);
  const std::string reduction = g.config.text("reduction");
  if (reduction != "sum" && reduction != "mean") throw Unsupported("reduction " + reduction);
  MultiCodebookPrediction<B> prediction(ctx, {.channels = x.extent(1),
                                              .hidden = g.config.integer("hidden"),
                                              .books = g.config.integer("books"),
                                              .entries = g.config.integer("entries"),
                                              .joint = g.config.flag("joint"),
                                              .reduction = reduction == "sum" ? Reduction::sum : Reduction::mean});
  g.load(prediction);
  std::vector<std::int32_t> codes;
  for (const long code : g.integers("input.indexes"))
    codes.push_back(static_cast<std::int32_t>(code == g.config.integer("ignore") ? -1 : code));
  Var<B, 0> loss = prediction.rows_loss(x, codes);
  g.output("loss", ctx.detach(loss));
  // What an independent prediction does not use has the gradient zero in the file.
  if (!prediction.config.joint)
    loss = loss + typename B::Scalar(0) *
                      (sum(ctx.lift(prediction.linear1.weight)) + sum(ctx.lift(prediction.linear1.bias)) +
                       sum(ctx.lift(prediction.codebook_embedding.weight)) + sum(ctx.lift(prediction.linear2_weight)));
  g.loss_of("", loss);
});

const Register dinosr_op("quantizer.dinosr_codebook", [](auto& g) {
  using B = typename std::remove_cvref_t<decltype(g)>::Backend;
  auto& ctx = g.context();
  const std::vector<long> shape = g.shape("param.sum");
  OnlineClusters<B> clusters(ctx, {.dims = shape[2],
                                   .layers = g.config.integer("layers"),
                                   .entries = g.config.integer("entries"),
                                   .decay = g.config.number("decay")});
  const auto sums = ctx.constant(tensor<B, 3>(g, "param.sum"));
  const auto counts = ctx.constant(tensor<B, 2>(g, "param.count"));
  for (long i = 0; i < clusters.config.layers; ++i) {
    Codebook<B>& book = clusters.layers[static_cast<size_t>(i)];
    assign(ctx.backend(), book.embedding_sum.tensor(), values_of(slice(sums, 0, i, i + 1)));
    assign(ctx.backend(), book.cluster_size.tensor(), values_of(slice(counts, 0, i, i + 1)));
    book.refresh(ctx, clusters.rule());
  }
  for (const long step : numbered(g, "input.target")) {
    const std::string at = std::to_string(step);
    const auto target = ctx.constant(tensor<B, 3>(g, "input.target" + at));
    std::vector<long> codes;
    std::vector<double> sum, count;
    for (long i = 0; i < clusters.config.layers; ++i) {
      const auto points = reshape(slice(target, 0, i, i + 1), Shape<2>{target.extent(1), target.extent(2)});
      const auto append = [](auto& to, const auto& from) { to.insert(to.end(), from.begin(), from.end()); };
      append(codes, numbers(ctx, clusters.follow(ctx, i, points.tensor())));
      const Codebook<B>& book = clusters.layers[static_cast<size_t>(i)];
      append(sum, numbers(ctx, book.embedding_sum.tensor()));
      append(count, numbers(ctx, book.cluster_size.tensor()));
    }
    g.output("indices" + at, codes);
    g.output("sum" + at, sum);
    g.output("count" + at, count);
  }
});

}  // namespace
}  // namespace phonaut::golden
