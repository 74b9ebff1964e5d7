// Handlers of what the Zipformer recipe does in training alone: rules that change gradients, masks from given draws.
#include "golden.hpp"
#include "phonaut/encoders/zipformer/training.hpp"
#include "phonaut/ops/activation_linear.hpp"
#include "phonaut/ops/balance.hpp"
#include "phonaut/ops/formula/byte_slope.hpp"
#include "phonaut/ops/formula/swoosh.hpp"
#include "phonaut/ops/limit_value.hpp"
#include "phonaut/ops/penalize_large.hpp"
#include "phonaut/ops/scale_gradient.hpp"
#include "phonaut/ops/whiten.hpp"
#include "zipformer_support.hpp"

namespace phonaut::golden {
namespace {

const Register balancer_op("zipformer.balancer", [](auto& g) {
  const auto& c = g.config;
  const BalanceOptions options{.min_positive = c.number("min_positive"),
                               .max_positive = c.number("max_positive"),
                               .min_abs = c.number("min_abs"),
                               .max_abs = c.number("max_abs"),
                               .scale = c.number("grad_scale")};
  if (c.integer("channel_dim") == 1) g.output("y", balance(g.input("x", "NCT"), options), "NCT");
  else g.output("y", balance(g.input("x", "TNC"), options), "TNC");
});

const Register whiten_op("zipformer.whiten", [](auto& g) {
  const WhitenOptions options{
      .limit = g.config.number("limit"), .scale = g.config.number("grad_scale"), .groups = g.config.integer("groups")};
  const auto x = g.input("x", "TNC");
  g.mid("metric", std::vector{whitening_metric(x, options)});
  g.output("y", whiten(x, options), "TNC");
});

const Register penalize_op("zipformer.penalize_abs_values_gt", [](auto& g) {
  g.output("y", penalize_large(g.input("x", rank<1>), g.config.number("limit"), g.config.number("penalty")));
});
const Register limit_op("zipformer.limit_param_value", [](auto& g) {
  g.output("y", limit_value(g.input("x", rank<1>), g.config.number("min"), g.config.number("max")));
});
const Register scale_grad_op("zipformer.scale_grad", [](auto& g) {
  g.output("y", scale_gradient(g.input("x", rank<1>), g.config.number("alpha")));
});

/// The mask (N, C) that draws of any shape with those elements make: 1 / (1 - rate) where a draw is above the rate.
template <class B>
Tensor<B, 2> dropout_mask(Golden<B>& g, const std::string& key, long batch, double rate) {
  std::vector<double> mask = g.values(key);
  for (double& u : mask) u = u > rate ? 1 / (1 - rate) : 0;
  return input(g.context(), Shape<2>{batch, static_cast<long>(mask.size()) / batch}, mask).tensor();
}

const Register dropout3_op("zipformer.dropout3", [](auto& g) {
  const auto x = g.input("x", "NTC");
  g.output("y", scale_utterances(x, dropout_mask(g, "input.u", x.extent(0), g.config.number("p"))), "NTC");
});

template <class B, class F>
void dropout_linear(Golden<B>& g, F f) {
  const auto x = g.input("x", "TNC");
  g.output("y",
           activation_linear(x, g.weight("weight", rank<2>), g.weight("bias", rank<1>), f,
                             dropout_mask(g, "input.u", x.extent(0), g.config.number("p"))),
           "TNC");
}
const Register dropout_swooshl_op("zipformer.act_dropout_linear_swooshl",
                                  [](auto& g) { dropout_linear(g, formula::SwooshL{}); });
const Register dropout_swooshr_op("zipformer.act_dropout_linear_swooshr",
                                  [](auto& g) { dropout_linear(g, formula::SwooshR{}); });

/// Slopes in bytes. Where a slope falls between two bytes within rounding, the file says so, and either will do.
template <class B, class F>
void byte_slopes(Golden<B>& g, const std::string& kind, F f) {
  using S = typename B::Scalar;
  const auto x = g.values("input.x"), u = g.values("input.u"), dy = g.values("input.grad_y");
  const auto sure = g.integers("output.unambiguous_" + kind), file = g.integers("output.q_" + kind);
  std::vector<long> bytes;
  std::vector<double> gradients;
  for (size_t i = 0; i < x.size(); ++i) {
    const auto byte = formula::ByteSlope::encode(f.slope(static_cast<S>(x[i])), static_cast<S>(u[i]));
    bytes.push_back(sure[i] ? byte : file[i]);
    gradients.push_back(static_cast<double>(static_cast<S>(dy[i]) *
                                            formula::ByteSlope::decode<S>(static_cast<std::uint8_t>(bytes.back()))));
  }
  g.output("q_" + kind, bytes);
  g.output("grad_x_" + kind, gradients);
  g.excuse("output.unambiguous_" + kind, "says which bytes count");
}
const Register bytes_op("zipformer.swoosh_train_quantised", [](auto& g) {
  byte_slopes(g, "l", formula::SwooshL{});
  byte_slopes(g, "r", formula::SwooshR{});
});

/// The schedules of the recipe, by the names of the file.
const Register scheduled_float_op("zipformer.scheduled_float", [](auto& g) {
  const auto recipe = ZipformerTraining::published();
  const auto compare = [&](const std::string& name, const ScheduledFloat& schedule) {
    std::vector<double> values;
    for (const double batch : g.values("input.batch_count")) values.push_back(schedule.at(batch));
    g.output(name, values);
  };
  compare("dropout", recipe.dropout);
  compare("attention_skip", recipe.attention_skip);
  compare("const_attention", recipe.even_attention);
  compare("ff_skip", recipe.feed_forward2_skip);
  compare("bypass_scale_min", recipe.bypass_least);
  compare("balancer_prob", zipformer::sites::balance_hidden.probability);
  compare("whiten_7p5", zipformer::sites::whiten_feed_forward.limit);
  compare("whiten_4_ratio3", zipformer::sites::whiten_layer.limit);
  compare("convnext_layerdrop", recipe.stem_skip);
  compare("pos_emb_skip", recipe.position_skip);
});

const Register feature_masks_op("zipformer.feature_masks", []<class B>(Golden<B>& g) {
  const double rate = ZipformerTraining::published().feature_mask;
  const auto first = g.values("input.u1"), second = g.values("input.u2");
  const long batch = static_cast<long>(first.size());
  std::vector<long> keep1, keep2;
  for (size_t n = 0; n < first.size(); ++n) {
    keep1.push_back(first[n] > rate);
    keep2.push_back(first[n] > rate && second[n] > rate);
  }
  const zipformer::FeatureFlags flags{lengths_of(g.context(), keep1), lengths_of(g.context(), keep2)};
  const auto dims = g.config.integers("encoder_dim"), unmasked = g.config.integers("encoder_unmasked_dim");
  for (size_t i = 0; i < dims.size(); ++i) {
    Tensor<B, 2> mask = zipformer::feature_mask(g.context(), flags, dims[i], unmasked[i]);
    if (!mask) mask = g.context().full(Shape<2>{batch, dims[i]}, typename B::Scalar(1));
    const auto values = values_of(g.context(), mask);
    g.output(concat("mask.", i), std::vector<double>(values.begin(), values.end()));
  }
});

}  // namespace
}  // namespace phonaut::golden
