#pragma once
#include "phonaut/core/param.hpp"
#include "phonaut/core/sequence.hpp"
#include "phonaut/ops/activation_linear.hpp"

namespace phonaut::zipformer {

/// y = x Wᵀ + b whose initial weights are `scale` times the usual ones: branches of a residual layer start small.
template <class B>
struct ScaledLinear {
  struct Config {
    long in = 0, out = 0;
    double scale = 1;        ///< of the initial weight U(-1/√in, 1/√in)
    double bias_bound = -1;  ///< initial bias U(-bound, bound); negative: 1/√in
    bool bias = true;
  };
  Param<B, 2> weight;  ///< (out, in)
  Param<B, 1> bias;    ///< (out), or absent

  ScaledLinear(Context<B>& ctx, const Config& c)
      : weight(make_param(ctx, Shape<2>{c.out, c.in}, Init::fan_in(c.in).times(c.scale))) {
    if (c.bias)
      bias = make_param(ctx, Shape<1>{c.out}, c.bias_bound < 0 ? Init::fan_in(c.in) : Init::uniform(c.bias_bound));
  }
  /// Weight times `scale`, bias within ±0.1 `scale`.
  static ScaledLinear scaled(Context<B>& ctx, long in, long out, double scale) {
    return ScaledLinear(ctx, {.in = in, .out = out, .scale = scale, .bias_bound = 0.1 * scale});
  }

  template <size_t R>
  Var<B, R> operator()(const Var<B, R>& x) const {
    return linear(x, weight, bias);
  }
  Sequence<B> operator()(const Sequence<B>& x) const { return x.with(linear(x.frames, weight, bias)); }
  /// f(x) Wᵀ + b, in one node that keeps x alone; f(x) times a mask (N, in), if there is one.
  template <class F, size_t R>
  Var<B, R> of_activation(F f, const Var<B, R>& x, const Tensor<B, 2>& mask = {}) const {
    return activation_linear(x, weight, bias, f, mask);
  }
  static void visit(auto& self, auto&& f) {
    f("weight", self.weight);
    f("bias", self.bias);
  }
};

}  // namespace phonaut::zipformer
