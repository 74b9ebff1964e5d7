#pragma once
// A plain Transformer encoder over frames, with the norms in front of its parts ("pre-norm").
#include <vector>

#include "phonaut/layers/attention.hpp"
#include "phonaut/layers/mlp.hpp"
#include "phonaut/layers/norms.hpp"
#include "phonaut/ops/broadcast.hpp"

namespace phonaut {

/// x + attention(norm(x)), then x + mlp(norm(x)): (N, T, dim) -> (N, T, dim). Vaswani et al., 2017; pre-norm as in
/// Xiong et al., "On layer normalization in the Transformer architecture", 2020.
template <class B, class F = formula::Gelu>
struct TransformerLayer {
  struct Config {
    long dim = 0, heads = 1, hidden = 0;
    double dropout = 0;  ///< of either part's output and of the hidden channels, in training
    bool causal = false, rotary = false;
  };
  LayerNorm<B> attention_norm;
  SelfAttention<B> attention;
  LayerNorm<B> mlp_norm;
  Mlp<B, F> mlp;
  double dropout;

  TransformerLayer(Context<B>& ctx, const Config& c)
      : attention_norm(ctx, {.dim = c.dim}),
        attention(ctx, {.dim = c.dim, .heads = c.heads, .causal = c.causal, .rotary = c.rotary}),
        mlp_norm(ctx, {.dim = c.dim}),
        mlp(ctx, {.dim = c.dim, .hidden = c.hidden, .dropout = c.dropout}),
        dropout(c.dropout) {}

  Sequence<B> operator()(const Sequence<B>& x) const {
    const Var<B, 3> y = x.frames + phonaut::dropout(attention(attention_norm(x)).frames, dropout);
    return x.with(y + phonaut::dropout(mlp(mlp_norm(y)), dropout));
  }

  static void visit(auto& self, auto&& f) {
    f("attention_norm", self.attention_norm);
    f("attention", self.attention);
    f("mlp_norm", self.mlp_norm);
    f("mlp", self.mlp);
  }
};

/// How a Transformer knows where a frame stands.
enum class Positions {
  none,
  sinusoidal,  ///< sinusoids are added to the input
  rotary       ///< queries and keys are rotated in every layer
};

/// A stack of Transformer layers and a final norm: (N, T, dim) -> (N, T, dim).
template <class B, class F = formula::Gelu>
struct Transformer {
  struct Config {
    long dim = 0, layers = 1, heads = 1, hidden = 0;
    double dropout = 0;
    bool causal = false;
    Positions positions = Positions::rotary;
  };
  std::vector<TransformerLayer<B, F>> layers;
  LayerNorm<B> norm;
  Positions positions;

  Transformer(Context<B>& ctx, const Config& c) : norm(ctx, {.dim = c.dim}), positions(c.positions) {
    for (long i = 0; i < c.layers; ++i)
      layers.emplace_back(ctx, typename TransformerLayer<B, F>::Config{.dim = c.dim,
                                                                       .heads = c.heads,
                                                                       .hidden = c.hidden,
                                                                       .dropout = c.dropout,
                                                                       .causal = c.causal,
                                                                       .rotary = c.positions == Positions::rotary});
  }

  Sequence<B> operator()(const Sequence<B>& x) const {
    Sequence<B> y = x;
    if (positions == Positions::sinusoidal) {
      auto& ctx = x.context();
      y = x.with(add_frames(x.frames, ctx.constant(sinusoids(ctx, x.time(), x.channels()))));
    }
    for (const auto& layer : layers) y = layer(y);
    return norm(y);
  }

  static void visit(auto& self, auto&& f) {
    f("layers", self.layers);
    f("norm", self.norm);
  }
};

}  // namespace phonaut
