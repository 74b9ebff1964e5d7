#pragma once
#include "phonaut/core/param.hpp"
#include "phonaut/ops/bypass.hpp"

namespace phonaut::zipformer {

/// y = old + (new - old) · bypass_scale, per channel.
template <class B>
struct Bypass {
  struct Config {
    long dim = 0;
  };
  Param<B, 1> bypass_scale;  ///< (dim)

  Bypass(Context<B>& ctx, const Config& c) : bypass_scale(make_param(ctx, Shape<1>{c.dim}, Init::constant(0.5))) {}

  /// Every frame of `fresh` stands for `repeat` frames of `old`.
  Var<B, 3> operator()(const Var<B, 3>& old, const Var<B, 3>& fresh, long repeat = 1) const {
    return bypass(old, fresh, bypass_scale, repeat);
  }
  static void visit(auto& self, auto&& f) { f("bypass_scale", self.bypass_scale); }
};

}  // namespace phonaut::zipformer
