#pragma once
#include "phonaut/core/param.hpp"
#include "phonaut/ops/bias_norm.hpp"

namespace phonaut {

/// y = x · mean((x - bias)²)^(-1/2) · exp(log_scale) over the channels: see ops/bias_norm.hpp.
template <class B>
struct BiasNorm {
  struct Config {
    long dim = 0;            ///< channels
    double log_scale = 1.0;  ///< where training starts
  };
  Param<B, 0> log_scale;  ///< ()
  Param<B, 1> bias;       ///< (dim)

  BiasNorm(Context<B>& ctx, const Config& c)
      : log_scale(make_param(ctx, Shape<0>{}, Init::constant(c.log_scale))),
        bias(make_param(ctx, Shape<1>{c.dim}, Init::normal(1e-4))) {}

  template <size_t R>
  Var<B, R> operator()(const Var<B, R>& x) const {
    return bias_norm(x, bias, log_scale);
  }
  static void visit(auto& self, auto&& f) {
    f("log_scale", self.log_scale);
    f("bias", self.bias);
  }
};

}  // namespace phonaut
