#pragma once
#include "phonaut/core/param.hpp"
#include "phonaut/ops/weighted_downsample.hpp"

namespace phonaut::zipformer {

/// T -> ceil(T / factor) frames, each a learned mean of `factor` neighbours (SimpleDownsample). A factor of 1 changes
/// nothing, but keeps its weight, as published checkpoints do.
template <class B>
struct Downsample {
  struct Config {
    long factor = 2;
    Padding padding = Padding::masked;
  };
  Config config;
  Param<B, 1> bias;  ///< (factor)

  Downsample(Context<B>& ctx, const Config& c)
      : config(c), bias(make_param(ctx, Shape<1>{c.factor}, Init::constant(0))) {}

  Sequence<B> operator()(const Sequence<B>& x) const {
    return config.factor == 1 ? x : weighted_downsample(x, bias, config.padding);
  }
  static void visit(auto& self, auto&& f) { f("bias", self.bias); }
};

}  // namespace phonaut::zipformer
