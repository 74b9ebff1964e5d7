#pragma once
// The affine map over channels, as a layer.
#include "phonaut/core/param.hpp"
#include "phonaut/core/sequence.hpp"
#include "phonaut/ops/linear.hpp"

namespace phonaut {

/// y = x Wᵀ + b over the innermost axis: (…, in) -> (…, out). Weight and bias start from U(-1/√in, 1/√in).
template <class B>
struct Linear {
  struct Config {
    long in = 0, out = 0;
    bool bias = true;
  };
  Param<B, 2> weight;  ///< (out, in)
  Param<B, 1> bias;    ///< (out), or absent

  /// Throws ConfigError unless there is at least one channel on either side.
  Linear(Context<B>& ctx, const Config& c) {
    if (c.in < 1 || c.out < 1)
      throw ConfigError(concat("linear: a map from ", c.in, " to ", c.out, " channels cannot be built"));
    weight = make_param(ctx, Shape<2>{c.out, c.in}, Init::fan_in(c.in));
    if (c.bias) bias = make_param(ctx, Shape<1>{c.out}, Init::fan_in(c.in));
  }

  template <size_t R>
  Var<B, R> operator()(const Var<B, R>& x) const {
    return linear(x, weight, bias);
  }
  Sequence<B> operator()(const Sequence<B>& x) const { return x.with(linear(x.frames, weight, bias)); }

  static void visit(auto& self, auto&& f) {
    f("weight", self.weight);
    f("bias", self.bias);
  }
};

}  // namespace phonaut
