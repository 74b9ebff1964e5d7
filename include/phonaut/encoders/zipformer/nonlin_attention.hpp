#pragma once
#include "phonaut/encoders/zipformer/past.hpp"
#include "phonaut/encoders/zipformer/scaled_linear.hpp"
#include "phonaut/encoders/zipformer/training.hpp"
#include "phonaut/ops/attend.hpp"
#include "phonaut/ops/gated_part.hpp"

namespace phonaut::zipformer {

/// Attention between two gates. in_proj makes s, v and g; the first head of the weights averages v · tanh(s) over time,
/// g multiplies what comes out.
template <class B>
struct NonlinAttention {
  struct Config {
    long dim = 0;
    Padding padding = Padding::masked;
    SharedRecipe recipe = {};
    long hidden() const { return 3 * dim / 4; }
  };
  Config config;
  ScaledLinear<B> in_proj;   ///< dim -> 3·hidden
  ScaledLinear<B> out_proj;  ///< hidden -> dim

  NonlinAttention(Context<B>& ctx, const Config& c)
      : config(c),
        in_proj(ctx, {.in = c.dim, .out = 3 * c.hidden()}),
        out_proj(ScaledLinear<B>::scaled(ctx, c.hidden(), c.dim, 0.05)) {}

  /// (N, T, dim) and weights (N, heads, T, T), of which the first head is used -> (N, T, dim).
  Sequence<B> operator()(const Sequence<B>& x, const Var<B, 4>& weights) const {
    Past<B> none;
    return (*this)(x, weights, none);
  }
  /// A chunk with v · tanh(s) of L frames before it, and weights (N, heads, T, L + T) -> (N, T, dim).
  Sequence<B> operator()(const Sequence<B>& x, const Var<B, 4>& weights, Past<B>& gated_past) const {
    const bool masked = config.padding == Padding::masked && !gated_past.frames;  // with a past the weights see to it
    const Lengths used = masked ? x.lengths : Lengths();
    const Training<B> training(config.recipe, x.context());
    const long hidden = config.hidden();
    Sequence<B> parts{in_proj(x.frames), {}, x.rate};  // (N, T, 3·hidden) = s, v, g
    parts.frames = training.balanced(parts.frames, sites::balance_nonlin_gate, x.lengths, 0, hidden);
    parts.frames = training.whitened(parts.frames, sites::whiten_nonlin_value, x.lengths, 1, hidden, hidden);
    const auto gated = gated_part<formula::TanhGate>(parts, {.parts = 3, .value = 1, .gate = 0});
    const Var<B, 3> y =
        out_proj(multiply_part(attend(weights, gated_past.join(gated.frames), 1, used), parts.frames, 3, 2));
    return x.with(training.whitened(y, sites::whiten_nonlin, x.lengths));
  }
  static void visit(auto& self, auto&& f) {
    f("in_proj", self.in_proj);
    f("out_proj", self.out_proj);
  }
};

}  // namespace phonaut::zipformer
