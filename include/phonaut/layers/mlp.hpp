#pragma once
// The feed-forward part of a Transformer.
#include "phonaut/layers/linear.hpp"
#include "phonaut/ops/activation_linear.hpp"
#include "phonaut/ops/activations.hpp"
#include "phonaut/ops/dropout.hpp"
#include "phonaut/ops/linear_activation.hpp"

namespace phonaut {

/// y = down(dropout(f(up(x)))): (…, dim) -> (…, dim), f a formula of ops/formula.
template <class B, class F = formula::Gelu>
struct Mlp {
  struct Config {
    long dim = 0, hidden = 0;
    double dropout = 0;  ///< of the hidden channels, in training
  };
  Linear<B> up, down;
  double dropout;

  Mlp(Context<B>& ctx, const Config& c)
      : up(ctx, {.in = c.dim, .out = c.hidden}), down(ctx, {.in = c.hidden, .out = c.dim}), dropout(c.dropout) {}

  template <size_t R>
  Var<B, R> operator()(const Var<B, R>& x) const {
    // Without dropout the activations are computed again on the way back instead of being kept.
    if (dropout == 0 || !x.context().training()) return activation_linear<F>(up(x), down.weight, down.bias);
    return down(phonaut::dropout(linear_activation<F>(x, up.weight, up.bias), dropout));
  }

  static void visit(auto& self, auto&& f) {
    f("up", self.up);
    f("down", self.down);
  }
};

}  // namespace phonaut
