#pragma once
#include "phonaut/encoders/zipformer/past.hpp"
#include "phonaut/encoders/zipformer/scaled_linear.hpp"
#include "phonaut/encoders/zipformer/training.hpp"
#include "phonaut/ops/attend.hpp"

namespace phonaut::zipformer {

/// Means of projected frames by weights that were computed before.
template <class B>
struct SelfAttention {
  struct Config {
    long dim = 0, heads = 0;
    long value_head = 12;  ///< channels of a value, per head
    Padding padding = Padding::masked;
    SharedRecipe recipe = {};
  };
  Config config;
  ScaledLinear<B> in_proj;   ///< dim -> heads·value_head
  ScaledLinear<B> out_proj;  ///< heads·value_head -> dim

  SelfAttention(Context<B>& ctx, const Config& c)
      : config(c),
        in_proj(ctx, {.in = c.dim, .out = c.heads * c.value_head}),
        out_proj(ScaledLinear<B>::scaled(ctx, c.heads * c.value_head, c.dim, 0.05)) {}

  /// (N, T, dim) and weights (N, heads, T, T) -> (N, T, dim).
  Sequence<B> operator()(const Sequence<B>& x, const Var<B, 4>& weights) const {
    Past<B> none;
    return (*this)(x, weights, none);
  }
  /// A chunk with the values of L frames before it, and weights (N, heads, T, L + T) -> (N, T, dim).
  Sequence<B> operator()(const Sequence<B>& x, const Var<B, 4>& weights, Past<B>& values) const {
    const bool masked = config.padding == Padding::masked && !values.frames;  // with a past the weights see to it
    const Lengths used = masked ? x.lengths : Lengths();
    const Var<B, 3> y = out_proj(attend(weights, values.join(in_proj(x.frames)), config.heads, used));
    const Training<B> training(config.recipe, x.context());
    return x.with(training.whitened(y, sites::whiten_self_attention, x.lengths));
  }
  static void visit(auto& self, auto&& f) {
    f("in_proj", self.in_proj);
    f("out_proj", self.out_proj);
  }
};

}  // namespace phonaut::zipformer
