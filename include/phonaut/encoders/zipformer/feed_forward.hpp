#pragma once
#include "phonaut/encoders/zipformer/scaled_linear.hpp"
#include "phonaut/encoders/zipformer/training.hpp"
#include "phonaut/ops/formula/swoosh.hpp"
#include "phonaut/ops/linear_activation.hpp"

namespace phonaut::zipformer {

/// Two linear maps around SwooshL.
template <class B>
struct FeedForward {
  struct Config {
    long dim = 0, hidden = 0;
    SharedRecipe recipe = {};
  };
  Config config;
  ScaledLinear<B> in_proj;   ///< dim -> hidden
  ScaledLinear<B> out_proj;  ///< hidden -> dim

  FeedForward(Context<B>& ctx, const Config& c)
      : config(c),
        in_proj(ctx, {.in = c.dim, .out = c.hidden}),
        out_proj(ScaledLinear<B>::scaled(ctx, c.hidden, c.dim, 0.1)) {}

  Sequence<B> operator()(const Sequence<B>& x) const {
    const Training<B> training(config.recipe, x.context());
    // Nobody asks for the middle again: the product activates it.
    if (!training && !x.context().recording())
      return x.with(out_proj(linear_activation<formula::SwooshL>(x.frames, in_proj.weight, in_proj.bias)));
    const Var<B, 3> h = training.balanced(in_proj(x.frames), sites::balance_hidden, x.lengths);
    const Var<B, 3> y = out_proj.of_activation(formula::SwooshL{}, h, training.dropout_mask(x.batch(), config.hidden));
    return x.with(training.whitened(y, sites::whiten_feed_forward, x.lengths));
  }
  static void visit(auto& self, auto&& f) {
    f("in_proj", self.in_proj);
    f("out_proj", self.out_proj);
  }
};

}  // namespace phonaut::zipformer
