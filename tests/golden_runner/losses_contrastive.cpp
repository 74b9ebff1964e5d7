// Handlers of contrastive losses, of classification over labels, and of losses that keep views together.
#include <cmath>

#include "golden.hpp"
#include "phonaut/losses/contrastive.hpp"
#include "phonaut/losses/decorrelation.hpp"
#include "phonaut/losses/diversity.hpp"
#include "phonaut/losses/hubert.hpp"
#include "phonaut/losses/sliced_wasserstein.hpp"

namespace phonaut::golden {
namespace {

/// Frames (N, T, C) as rows.
template <class B>
Var<B, 2> flat_frames(const Var<B, 3>& x) {
  return reshape(x, Shape<2>{x.extent(0) * x.extent(1), x.extent(2)});
}
template <class B>
RowChoice<B> choice_of(Context<B>& ctx, long rows, long width, const std::vector<long>& values) {
  RowChoice<B> choice = ctx.template empty_of<std::int32_t, 2>({rows, width});
  std::copy(values.begin(), values.end(), choice.data());
  return choice;
}
/// Minus infinity as the files write it.
std::vector<double> finite(std::vector<double> values) {
  for (double& v : values)
    if (std::isinf(v)) v = -1e30;
  return values;
}

const Register infonce_op("loss.infonce_wav2vec2", [](auto& g) {
  auto& ctx = g.context();
  const auto c = g.input("c", "NTC"), q = g.input("q", "NTC");
  const long rows = c.extent(0) * c.extent(1), negatives = g.config.integer("negatives");
  const auto drawn = g.integers("input.neg_idx"), mask = g.integers("input.mask");
  // Each frame, and each hidden one, before its negatives.
  std::vector<long> all, hidden;
  for (long i = 0; i < rows; ++i)
    for (auto* choices : {&all, &hidden}) {
      if (choices == &hidden && !mask[static_cast<size_t>(i)]) continue;
      choices->push_back(i);
      choices->insert(choices->end(), drawn.begin() + i * negatives, drawn.begin() + (i + 1) * negatives);
    }
  const double temperature = g.config.number("temperature");
  const auto logits =
      wav2vec2_logits(flat_frames(c), flat_frames(q), choice_of(ctx, rows, negatives + 1, all), temperature);
  const auto values = values_of(logits);
  g.output("logits", finite({values.begin(), values.end()}));
  const auto chosen = marked_rows(Sequence<typename std::remove_cvref_t<decltype(g)>::Backend>{c, {}, 0}, mask);
  g.output("loss", wav2vec2_loss(take_rows(flat_frames(c), chosen), flat_frames(q),
                                 choice_of(ctx, chosen.size(), negatives + 1, hidden), temperature));
});

const Register cpc_op("loss.cpc", [](auto& g) {
  auto& ctx = g.context();
  const auto c = g.input("c", "NTC"), z = g.input("z", "NTC");
  const auto w = g.weight("w", rank<3>);
  // (N, negatives, window) in the file, (N · window, negatives) here.
  const std::vector<long> shape = g.shape("input.neg_idx"), drawn = g.integers("input.neg_idx");
  const long batch = shape[0], negatives = shape[1], window = shape[2];
  std::vector<long> choice;
  for (long n = 0; n < batch; ++n)
    for (long t = 0; t < window; ++t)
      for (long k = 0; k < negatives; ++k)
        choice.push_back(drawn[static_cast<size_t>((n * negatives + k) * window + t)]);
  const auto rows = choice_of(ctx, batch * window, negatives, choice);
  const double scale = g.config.number("score_scale");
  std::vector<double> per_step;
  for (const auto& loss : cpc_losses(ctx.detach(c), ctx.detach(z), ctx.detach(w), rows, scale))
    per_step.push_back(static_cast<double>(item(loss)));
  g.output("per_step", per_step);
  g.output("loss", cpc_loss(c, z, w, rows, scale));
});

const Register diversity_op("loss.codebook_diversity", [](auto& g) {
  auto x = g.input("logits", rank<3>);
  const Shape<3> shape = x.shape();
  using B = typename std::remove_cvref_t<decltype(g)>::Backend;
  double factor = 1;
  if (g.has("input.mask")) {
    const Sequence<B> frames{reshape(x, Shape<3>{1, shape[0], shape[1] * shape[2]}), {}, 0};
    const auto rows = marked_rows(frames, g.integers("input.mask"));
    x = reshape(take_rows(frames.frames, rows), Shape<3>{rows.size(), shape[1], shape[2]});
    factor = static_cast<double>(rows.size());
  }
  const auto perplexity = soft_perplexity(x);
  g.output("perplexity", perplexity);
  const auto loss = diversity_loss(perplexity, shape[1], shape[2]);
  g.output("loss", g.config.flag("scaled_by_masked_count") ? typename B::Scalar(factor) * loss : loss);
});

const Register ntxent_op("loss.ntxent", [](auto& g) {
  g.output("loss", ntxent_loss(g.input("x", rank<2>), g.input("y", rank<2>), g.config.number("temperature")));
});
const Register clip_op("loss.clip", [](auto& g) {
  const auto x = g.input("x", rank<2>), y = g.input("y", rank<2>);
  g.output("loss", clip_loss(x, y, g.weight("log_scale", rank<0>), g.config.number("max_scale")));
});

const Register hubert_op("loss.masked_ce_hubert", [](auto& g) {
  const auto x = g.sequence("x", "NTC");
  const auto table = g.weight("label_embeddings", rank<2>);
  const HubertOptions options{.temperature = g.config.number("temperature"),
                              .masked_weight = g.config.number("masked_weight"),
                              .unmasked_weight = g.config.number("unmasked_weight")};
  g.output("logits", cosine_logits(x.frames, table, options.temperature));
  g.output("loss", hubert_loss(x, table, g.integers("input.target"), g.integers("input.mask"), options));
});

/// The head of HuBERT: a projection, and the loss at hidden and at other frames apart.
const Register hubert_head_op("model.hubert_loss", [](auto& g) {
  const auto weight = g.weight("final_proj.weight", rank<2>);
  const auto bias = g.weight("final_proj.bias", rank<1>);
  const auto table = g.weight("label_embs_concat", rank<2>);
  const auto hidden = g.sequence("hidden", "NTC");
  const auto x = hidden.with(linear(hidden.frames, weight, bias));
  const auto labels = g.integers("input.targets"), marks = g.integers("input.mask");
  const double temperature = g.config.number("logit_temp"), other = g.config.number("pred_nomask_weight");
  const auto loss = [&](double masked, double unmasked) {
    return hubert_loss(x, table, labels, marks,
                       {.temperature = temperature, .masked_weight = masked, .unmasked_weight = unmasked});
  };
  g.output("logits", cosine_logits(x.frames, table, temperature));
  g.output("loss_masked", loss(1, 0));
  g.output("loss_unmasked", loss(0, 1));
  g.output("loss", loss(1, other));
});

const Register label_smoothing_op("loss.label_smoothed_ce", [](auto& g) {
  const auto x = g.input("logits", rank<3>);
  auto labels = g.integers("input.target");
  const long ignore = g.config.integer("ignore_index", -100);
  for (long& label : labels)
    if (label == ignore) label = -1;
  g.output("loss",
           cross_entropy(x, labels_of(g.context(), labels),
                         {.smoothing = g.config.number("smoothing"),
                          .reduction = g.config.text("reduction") == "sum" ? Reduction::sum : Reduction::mean}));
});

const Register vicreg_op("loss.vicreg", [](auto& g) {
  const VicregOptions options{.invariance = g.config.number("sim"),
                              .variance = g.config.number("std"),
                              .covariance = g.config.number("cov"),
                              .target_deviation = g.config.number("gamma"),
                              .epsilon = g.config.number("eps")};
  const auto terms = vicreg_terms(g.input("x", rank<2>), g.input("y", rank<2>), options);
  g.output("invariance", terms.invariance);
  g.output("variance", terms.variance);
  g.output("covariance", terms.covariance);
  g.output("loss", terms.loss);
});
const Register barlow_op("loss.barlow", [](auto& g) {
  const auto x = g.input("x", rank<2>), y = g.input("y", rank<2>);
  const auto correlation = cross_correlation(x, y, g.config.number("eps"));
  g.output("cross_correlation", correlation);
  g.output("loss", barlow_loss(correlation, g.config.number("lam")));
});
const Register sliced_wasserstein_op("loss.sliced_wasserstein", [](auto& g) {
  auto& ctx = g.context();
  const auto x = g.input("x", rank<2>);
  const std::vector<long> shape = g.shape("input.directions");
  const auto directions = input(ctx, Shape<2>{shape[0], shape[1]}, g.values("input.directions")).tensor();
  std::vector<double> quantiles;
  for (long n = 0; n < x.extent(0); ++n)
    quantiles.push_back(normal_quantile((static_cast<double>(n) + 0.5) / static_cast<double>(x.extent(0))));
  g.output("quantiles", quantiles);
  g.output("loss", sliced_wasserstein(x, unit_slices(ctx, directions)));
});

}  // namespace
}  // namespace phonaut::golden
