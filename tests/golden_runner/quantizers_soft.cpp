// Handlers of quantizers with soft or binary codes, and of fixed random ones.
#include "phonaut/quantizers/gumbel.hpp"
#include "phonaut/quantizers/lfq.hpp"
#include "phonaut/quantizers/random_projection.hpp"
#include "quantizers_support.hpp"

namespace phonaut::golden {
namespace {

const Register gumbel_op("quantizer.gumbel", [](auto& g) {
  using B = typename std::remove_cvref_t<decltype(g)>::Backend;
  auto& ctx = g.context();
  const auto logits = g.input("logits", rank<3>);
  const auto codebook = g.weight("codebook", rank<3>);
  const auto choice =
      gumbel_choice(logits, tensor<B, 3>(g, "input.gumbel_noise"), g.config.number("tau"), g.config.flag("hard"));
  g.output("soft", ctx.detach(choice.soft));
  g.output("indices", numbers(ctx, choice.code));
  g.output("out", mix_entries(choice.weights, codebook));
});

const Register lfq_op("quantizer.lfq", [](auto& g) {
  using B = typename std::remove_cvref_t<decltype(g)>::Backend;
  auto& ctx = g.context();
  const LookupFreeQuantizer<B> lfq(ctx, {.bits = g.config.integer("bits"),
                                         .spherical = g.config.flag("spherical"),
                                         .scale = g.config.number("codebook_scale"),
                                         .inverse_temperature = g.config.number("inv_temperature"),
                                         .entropy_weight = g.config.number("entropy_weight"),
                                         .diversity_gamma = g.config.number("diversity_gamma"),
                                         .commitment_weight = g.config.number("commitment_weight"),
                                         .log_clamp = g.config.number("log_clamp")});
  const auto x = g.input("x", rank<2>);
  const Sequence<B> frames{reshape(x, Shape<3>{1, x.extent(0), x.extent(1)}), {}, 0};
  const auto y = lfq(frames);
  g.output("quantized", reshape(y.quantized.frames, x.shape()));
  const auto codes = host_codes(ctx, y.codes);
  g.output("indices", std::vector<long>(codes.begin(), codes.end()));
  const auto entropies = lfq.entropies(lfq.prepared(x));
  g.output("per_sample_entropy", ctx.detach(entropies.sample));
  g.output("batch_entropy", ctx.detach(entropies.mean));
  g.output("commitment", ctx.detach(y.commitment));
  g.output("loss", y.loss);
});

const Register bsq_op("quantizer.bsq", [](auto& g) {
  using B = typename std::remove_cvref_t<decltype(g)>::Backend;
  auto& ctx = g.context();
  // tau stands before the product with a corner of the sphere; p(1) has the difference of two of them.
  const BinarySphericalQuantizer<B> bsq(ctx, {.bits = g.config.integer("bits"),
                                              .inverse_temperature = g.config.number("tau"),
                                              .entropy_weight = 1,
                                              .diversity_gamma = g.config.number("gamma")});
  const auto x = g.input("x", rank<2>);
  const auto y = bsq({reshape(x, Shape<3>{1, x.extent(0), x.extent(1)}), {}, 0});
  const auto u = unit_rows(x, 1e-12);
  const auto entropies = bsq.entropies(u);
  g.output("unit", ctx.detach(u));
  g.output("quantized", reshape(y.quantized.frames, x.shape()));
  const auto codes = host_codes(ctx, y.codes);
  g.output("indices", std::vector<long>(codes.begin(), codes.end()));
  g.output("bit_prob", ctx.detach(entropies.probability));
  g.output("sample_entropy", ctx.detach(entropies.sample));
  g.output("mean_entropy", ctx.detach(entropies.mean));
  g.output("loss", y.loss);
});

const Register best_rq_op("quantizer.best_rq", [](auto& g) {
  using B = typename std::remove_cvref_t<decltype(g)>::Backend;
  auto& ctx = g.context();
  const std::string norm = g.config.text("feature_norm");
  const auto x = g.sequence("x", "NTC", g.integers("input.lengths"));
  RandomProjectionQuantizer<B> quantizer(ctx, {.features = x.channels(),
                                               .stack = g.config.integer("stack"),
                                               .stride = g.config.integer("stride"),
                                               .dims = g.config.integer("dim"),
                                               .entries = g.config.integer("entries"),
                                               .books = g.config.integer("books"),
                                               .normalise = norm.starts_with("per utterance")});
  if (!quantizer.config.normalise && !norm.starts_with("none")) throw Unsupported("feature_norm " + norm);
  const auto in_file = ctx.constant(tensor<B, 3>(g, "param.projection"));  // (books, in, out)
  assign(ctx.backend(), quantizer.projection.tensor(), values_of(permute(in_file, {0, 2, 1})));
  assign(ctx.backend(), quantizer.codebook.tensor(), values_of(ctx, tensor<B, 3>(g, "param.codebook")));
  const auto stacks = quantizer.stacked(x);
  g.output("stacked", stacks.frames, "NTC");
  g.output("valid_targets", stacks.lengths);
  // The file has an index of every stack, padding too; the codes of the batch are those up to the lengths.
  const auto all = quantizer.encode_stacked({stacks.frames, {}, 0});
  const auto host = host_codes(ctx, all), codes = host_codes(ctx, quantizer.encode(x));
  output_indices(g, "indices", {host.begin(), host.end()}, "margin");
  for (size_t i = 0; i < host.size(); ++i) {
    const long row = static_cast<long>(i) / all.extent(2);
    const bool real = row % all.extent(1) < stacks.length(row / all.extent(1));
    if (codes[i] != (real ? host[i] : no_code)) throw NumericalError("padding changes codes");
  }
});

}  // namespace
}  // namespace phonaut::golden
