#pragma once
// The affine map whose rows have a direction and a length of their own. T. Salimans and D. Kingma, "Weight
// Normalization", 2016.
#include "phonaut/core/param.hpp"
#include "phonaut/ops/linear.hpp"
#include "phonaut/ops/weight_norm.hpp"

namespace phonaut {

/// y = x Wᵀ + b over the innermost axis, with row c of W = g_c v_c / |v_c|: a convolution of one tap with weight norm.
template <class B>
struct WeightNormLinear {
  struct Config {
    long in = 0, out = 0;
  };
  Param<B, 2> weight_v;  ///< (out, in): directions
  Param<B, 1> weight_g;  ///< (out): lengths; start as |v|, so that W starts as v
  Param<B, 1> bias;      ///< (out)

  /// Throws ConfigError unless there is at least one channel on either side.
  WeightNormLinear(Context<B>& ctx, const Config& c) {
    if (c.in < 1 || c.out < 1)
      throw ConfigError(concat("weight_norm_linear: a map from ", c.in, " to ", c.out, " channels cannot be built"));
    weight_v = make_param(ctx, Shape<2>{c.out, c.in}, Init::fan_in(c.in));
    weight_g = gains_of(ctx, weight_v);
    bias = make_param(ctx, Shape<1>{c.out}, Init::fan_in(c.in));
  }

  /// W (out, in). A row of zeros, whose direction is undefined, stays zero.
  Var<B, 2> weight(Context<B>& ctx) const { return normed_weight(ctx, weight_v, weight_g); }
  template <size_t R>
  Var<B, R> operator()(const Var<B, R>& x) const {
    return linear(x, weight(x.context()), bias);
  }

  static void visit(auto& self, auto&& f) {
    f("weight_v", self.weight_v);
    f("weight_g", self.weight_g);
    f("bias", self.bias);
  }
};

}  // namespace phonaut
