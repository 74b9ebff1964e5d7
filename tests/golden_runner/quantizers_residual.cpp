// Handlers of the quantizers that are made of residual ones, and of factorised codebooks.
#include "phonaut/quantizers/factorised_rvq.hpp"
#include "phonaut/quantizers/grouped_rvq.hpp"
#include "phonaut/quantizers/masked_channel_rvq.hpp"
#include "phonaut/quantizers/split_rvq.hpp"
#include "quantizers_support.hpp"

namespace phonaut::golden {
namespace {

template <class B>
void expect_same(Context<B>& ctx, const Codes<B>& a, const Codes<B>& b) {
  if (host_codes(ctx, a) != host_codes(ctx, b)) throw NumericalError("encode(x) differs from the codes of the call");
}
template <class B>
void expect_same(const Var<B, 3>& a, const Var<B, 3>& b) {
  if (values_of(a) != values_of(b)) throw NumericalError("decode(codes) differs from what the call returns");
}
/// Part [i] of books (P, K, D), or [g, i] of (G, P, K, D) seen as one list, into a level's codebook.
template <class B>
void set_entries(Context<B>& ctx, QuantizerLevel<B>& level, const std::vector<double>& all, long at) {
  const long each = level.book.embedding.size();
  std::vector<typename B::Scalar> own;
  for (long i = at * each; i < (at + 1) * each; ++i)
    own.push_back(static_cast<typename B::Scalar>(all[static_cast<size_t>(i)]));
  assign(ctx.backend(), level.book.embedding.tensor(), own);
}

const Register dac_op("quantizer.dac_rvq", [](auto& g) {
  using B = typename std::remove_cvref_t<decltype(g)>::Backend;
  auto& ctx = g.context();
  typename FactorisedResidualQuantizer<B>::Config config{.dims = g.config.integer("input_dim"),
                                                         .levels = g.config.integer("quantizers"),
                                                         .entries = g.config.integer("codebook"),
                                                         .code_dims = g.config.integer("codebook_dim")};
  FactorisedResidualQuantizer<B> rvq(ctx, config);
  g.load(rvq);
  const auto x = g.sequence("x", "NCT");
  std::vector<long> depths;
  for (long n : g.integers("input.n_quantizers")) depths.push_back(std::min(n, config.levels));
  const auto y = rvq(x, depths);
  g.output("z", y.quantized, "NCT");
  g.output("latents", y.latents, "NCT");
  g.output("commitment", ctx.detach(y.commitment));
  g.output("codebook_loss", ctx.detach(y.codebook));
  g.loss_of("", y.loss);
  // The file has the codes of all levels; the call leaves out those that were dropped.
  const auto codes = rvq.encode(x);
  std::vector<long> in_file;
  const auto host = host_codes(ctx, codes), called = host_codes(ctx, y.codes);
  for (long n = 0; n < codes.extent(0); ++n)
    for (long q = 0; q < codes.extent(2); ++q)
      for (long t = 0; t < codes.extent(1); ++t) {
        const auto at = static_cast<size_t>((n * codes.extent(1) + t) * codes.extent(2) + q);
        in_file.push_back(host[at]);
        if (called[at] != (q < depths[static_cast<size_t>(n)] ? host[at] : no_code))
          throw NumericalError("the codes of the call are not those of encode(x) up to the depth of an utterance");
      }
  g.output("codes", in_file);
  expect_same(ctx.detach(rvq.decode(ctx, y.codes)), y.quantized.frames);
});

const Register split_op("quantizer.split_rvq", [](auto& g) {
  using B = typename std::remove_cvref_t<decltype(g)>::Backend;
  auto& ctx = g.context();
  const long first = g.config.integer("semantic");
  SplitResidualQuantizer<B> split(
      ctx, {.channels = g.config.integer("input_dim"),
            .dims = g.config.integer("dim"),
            .semantic_levels = first,
            .acoustic_levels = g.config.integer("quantizers") - first,
            .codebook = {.entries = g.config.integer("codebook"), .rule = {.smoothing = EmaRule::Smoothing::clamp}}});
  const auto fill = [&](auto& to, const std::string& key) {
    const auto in_file = g.values(key);
    assign(ctx.backend(), to.tensor(), std::vector<typename B::Scalar>(in_file.begin(), in_file.end()));
  };
  for (auto* side : {&split.semantic, &split.acoustic}) {
    const std::string prefix = side == &split.semantic ? "param.rvq_first." : "param.rvq_rest.";
    fill(side->in_proj.weight, prefix + "input_proj.weight");
    fill(side->out_proj.weight, prefix + "output_proj.weight");
    for (size_t i = 0; i < side->rvq.levels.size(); ++i) {
      QuantizerLevel<B>& level = side->rvq.levels[i];
      const std::string book = prefix + "vq.layers." + std::to_string(i) + "._codebook.";
      fill(level.book.embedding_sum, book + "embedding_sum");
      fill(level.book.cluster_size, book + "cluster_usage");
      level.book.refresh(ctx, level.options.rule);
    }
  }
  const auto x = g.sequence("x", "NCT");
  const auto y = split(x);
  std::vector<long> in_file;
  const auto host = host_codes(ctx, y.codes);
  for (long n = 0; n < y.codes.extent(0); ++n)
    for (long q = 0; q < y.codes.extent(2); ++q)
      for (long t = 0; t < y.codes.extent(1); ++t)
        in_file.push_back(host[static_cast<size_t>((n * y.codes.extent(1) + t) * y.codes.extent(2) + q)]);
  g.output("codes", in_file);
  const auto decoded = split.decode(ctx, y.codes);
  g.output("decoded", ctx.detach(decoded), "NCT");
  expect_same(ctx, split.encode(x), y.codes);
  expect_same(ctx.detach(decoded), y.quantized.frames);
});

const Register grouped_op("quantizer.grouped_rvq", [](auto& g) {
  using B = typename std::remove_cvref_t<decltype(g)>::Backend;
  auto& ctx = g.context();
  const long groups = g.config.integer("groups"), levels = g.config.integer("quantizers");
  const auto x = g.sequence("x", "NTC");
  GroupedResidualQuantizer<B> rvq(ctx,
                                  {.dims = x.channels(),
                                   .groups = groups,
                                   .group = {.levels = levels, .codebook = {.entries = g.config.integer("codebook")}}});
  const auto books = g.values("param.codebooks");
  for (long i = 0; i < groups * levels; ++i)
    set_entries(ctx, rvq.groups[static_cast<size_t>(i / levels)].levels[static_cast<size_t>(i % levels)], books, i);
  const auto y = rvq(x);
  // (N, T, G Q) here, (G, N, T, Q) in the file.
  std::vector<long> in_file;
  const auto host = host_codes(ctx, y.codes);
  for (long group = 0; group < groups; ++group)
    for (long i = 0; i < x.batch() * x.time(); ++i)
      for (long q = 0; q < levels; ++q) in_file.push_back(host[static_cast<size_t>((i * groups + group) * levels + q)]);
  g.output("codes", in_file);
  g.output("quantized", y.quantized, "NTC");
  expect_same(ctx, rvq.encode(x), y.codes);
  expect_same(rvq.decode(ctx, y.codes), y.quantized.frames);
});

const Register masked_op("quantizer.masked_channel_rvq", [](auto& g) {
  using B = typename std::remove_cvref_t<decltype(g)>::Backend;
  auto& ctx = g.context();
  const auto x = g.sequence("x", "NCT");
  const long masked = g.config.integer("masked_books");
  std::vector<long> split;
  for (long i = 1; i < masked; ++i) split.push_back(i * x.channels() / masked);
  if (split != g.config.integers("split")) throw Unsupported("channels that are not split in equal parts");
  MaskedChannelQuantizer<B> rvq(ctx, {.dims = x.channels(),
                                      .levels = g.config.integer("quantizers"),
                                      .masked = masked,
                                      .codebook = {.entries = g.config.integer("codebook")}});
  const auto books = g.values("param.codebooks");
  for (long i = 0; i < rvq.config.levels; ++i) set_entries(ctx, rvq.levels[static_cast<size_t>(i)], books, i);
  const auto y = rvq(x);
  g.output("codes", level_by_level(ctx, y.codes));
  g.output("quantized", y.quantized, "NCT");
  expect_same(ctx, rvq.encode(x), y.codes);
  expect_same(rvq.decode(ctx, y.codes), y.quantized.frames);
});

}  // namespace
}  // namespace phonaut::golden
