#pragma once
// A convolution of images (N, T, F, C), as a layer.
#include "phonaut/core/param.hpp"
#include "phonaut/ops/conv2d.hpp"
#include "phonaut/ops/weight_norm.hpp"

namespace phonaut {

/// A 2-D convolution: images (N, T, F, in) -> (N, T', F', out). Weight and bias start from U(-b, b) with
/// b = (in · taps)^(-1/2), as in PyTorch.
template <class B>
struct Conv2d {
  struct Config {
    long in = 0, out = 0;
    TimeFrequency kernel{3, 3};
    Conv2dOptions options = {};
    bool bias = true;
    bool normed = false;  ///< the weight is a direction, with a gain for each output channel (weight_norm)
  };
  Param<B, 4> weight;  ///< (out, time, frequency, in); published weights have `in` second
  Param<B, 1> gain;    ///< (out), or absent
  Param<B, 1> bias;    ///< (out), or absent
  Conv2dOptions options;

  /// Throws ConfigError without channels or taps.
  Conv2d(Context<B>& ctx, const Config& c) : options(c.options) {
    if (c.in < 1 || c.out < 1 || c.kernel.time < 1 || c.kernel.frequency < 1)
      throw ConfigError(concat("conv2d: need channels and taps, got ", c.in, " channels in, ", c.out, " out and ",
                               c.kernel.time, " x ", c.kernel.frequency, " taps"));
    const Init init = Init::fan_in(c.in * c.kernel.time * c.kernel.frequency);
    weight = make_param(ctx, Shape<4>{c.out, c.kernel.time, c.kernel.frequency, c.in}, init);
    if (c.normed) gain = gains_of(ctx, weight);
    if (c.bias) bias = make_param(ctx, Shape<1>{c.out}, init);
  }

  Var<B, 4> operator()(const Var<B, 4>& x) const {
    if (!gain) return conv2d(x, weight, bias, options);
    return conv2d(x, normed_weight(x.context(), weight, gain), bias, options);
  }

  static void visit(auto& self, auto&& f) {
    f(self.gain ? "weight_v" : "weight", self.weight);
    f("weight_g", self.gain);
    f("bias", self.bias);
  }
};

}  // namespace phonaut
