#pragma once
#include "phonaut/encoders/zipformer/scaled_linear.hpp"
#include "phonaut/ops/formula/swoosh.hpp"

namespace phonaut::zipformer {

/// Two linear maps around SwooshL.
template <class B>
struct FeedForward {
  struct Config {
    long dim = 0, hidden = 0;
  };
  ScaledLinear<B> in_proj;   ///< dim -> hidden
  ScaledLinear<B> out_proj;  ///< hidden -> dim

  FeedForward(Context<B>& ctx, const Config& c)
      : in_proj(ctx, {.in = c.dim, .out = c.hidden}), out_proj(ScaledLinear<B>::scaled(ctx, c.hidden, c.dim, 0.1)) {}

  Sequence<B> operator()(const Sequence<B>& x) const {
    return x.with(out_proj.of_activation(formula::SwooshL{}, in_proj(x.frames)));
  }
  static void visit(auto& self, auto&& f) {
    f("in_proj", self.in_proj);
    f("out_proj", self.out_proj);
  }
};

}  // namespace phonaut::zipformer
