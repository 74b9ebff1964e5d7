#pragma once
// 1-D convolutions over frames, as layers.
#include "phonaut/core/param.hpp"
#include "phonaut/ops/conv1d.hpp"
#include "phonaut/ops/conv_transpose1d.hpp"
#include "phonaut/ops/weight_norm.hpp"

namespace phonaut {

/// What stands around the frames of an utterance for a convolution: as many zeros as are said, or as its width needs.
struct ConvPadding {
  enum class Kind { ends, causal, by_stride, centred } kind = Kind::ends;
  long before = 0, after = 0;

  /// Nothing: the output is shorter than the input.
  static ConvPadding none() { return {}; }
  /// That many zero frames at either end. (PyTorch's padding=p is `ends(p, p)`.)
  static ConvPadding ends(long before, long after) { return {Kind::ends, before, after}; }
  /// All in front: an output frame sees no later frame than its own; ceil(T / stride) frames.
  static ConvPadding causal() { return {Kind::causal, 0, 0}; }
  /// An output frame sees all of its own stride and nothing later: ceil(T / stride) frames, the last stride completed
  /// by zeros. Chunks of whole strides then give their frames at once. (EnCodec's and Mimi's.)
  static ConvPadding by_stride() { return {Kind::by_stride, 0, 0}; }
  /// Half on either side (the odd one behind): ceil(T / stride) frames.
  static ConvPadding centred() { return {Kind::centred, 0, 0}; }

  ConvGrid grid(long taps, long stride, long dilation) const {
    const long needed = dilation * (taps - 1);
    switch (kind) {
      case Kind::causal:
        return {taps, stride, dilation, needed, 0};
      case Kind::by_stride:
        return {taps, stride, dilation, needed + 1 - stride, stride - 1};
      case Kind::centred:
        return {taps, stride, dilation, needed / 2, needed - needed / 2};
      case Kind::ends:
        break;
    }
    return {taps, stride, dilation, before, after};
  }
};

/// A strided, dilated, grouped 1-D convolution: frames (N, T, in) -> (N, T', out). Weight and bias start from
/// U(-b, b) with b = (in / groups · taps)^(-1/2), as in PyTorch.
template <class B>
struct Conv1d {
  struct Config {
    long in = 0, out = 0;
    long taps = 1, stride = 1, dilation = 1, groups = 1;
    ConvPadding padding = {};
    bool bias = true;
    bool normed = false;  ///< the weight is a direction, with a gain for each output channel (weight_norm)
  };
  Param<B, 3> weight;  ///< (out, taps, in / groups); published weights have taps last
  Param<B, 1> gain;    ///< (out), or absent
  Param<B, 1> bias;    ///< (out), or absent
  ConvGrid grid;
  long groups = 1;

  /// Throws ConfigError for channels or groups that do not fit together.
  Conv1d(Context<B>& ctx, const Config& c) : grid(c.padding.grid(c.taps, c.stride, c.dilation)), groups(c.groups) {
    detail::check_grid("conv1d", grid, groups);
    if (c.in < 1 || c.out < 1 || c.in % groups != 0 || c.out % groups != 0)
      throw ConfigError(
          concat("conv1d: ", c.in, " channels in and ", c.out, " out do not divide into ", groups, " groups"));
    const Init init = Init::fan_in(c.in / groups * c.taps);
    weight = make_param(ctx, Shape<3>{c.out, c.taps, c.in / groups}, init);
    if (c.normed) gain = gains_of(ctx, weight);
    if (c.bias) bias = make_param(ctx, Shape<1>{c.out}, init);
  }

  Sequence<B> operator()(const Sequence<B>& x) const {
    if (!gain) return conv1d(x, weight, bias, grid, groups);
    return conv1d(x, normed_weight(x.context(), weight, gain), bias, grid, groups);
  }
  /// f of its output; f is a formula of ops/formula.
  template <class F>
  Sequence<B> activated(const Sequence<B>& x, F f = {}) const {
    if (!gain) return conv1d_activation(x, weight, bias, grid, groups, f);
    return conv1d_activation(x, normed_weight(x.context(), weight, gain), bias, grid, groups, f);
  }
  /// Frames that come out of `time` frames.
  long frames(long time) const { return grid.frames_out(time); }

  static void visit(auto& self, auto&& f) {
    f(self.gain ? "weight_v" : "weight", self.weight);
    f("weight_g", self.gain);
    f("bias", self.bias);
  }
};

/// A transposed 1-D convolution: frames (N, T, in) -> (N, (T - 1) stride + span - before - after, out). Weight and bias
/// start from U(-b, b) with b = (out / groups · taps)^(-1/2), as in PyTorch.
template <class B>
struct ConvTranspose1d {
  struct Config {
    long in = 0, out = 0;
    long taps = 1, stride = 1, dilation = 1, groups = 1;
    long before = 0, after = 0;  ///< frames cut off the ends; PyTorch's padding=p is before = after = p
    bool bias = true;
    bool normed = false;  ///< the weight is a direction, with a gain for each input channel (weight_norm)

    /// Cuts so that T frames become T · stride: the frames that overlap go at the back, so that nothing comes early.
    static Config causal(long in, long out, long taps, long stride) {
      return {.in = in, .out = out, .taps = taps, .stride = stride, .after = std::max(0L, taps - stride)};
    }
  };
  Param<B, 3> weight;  ///< (in, taps, out / groups); published weights have taps last
  Param<B, 1> gain;    ///< (in), or absent
  Param<B, 1> bias;    ///< (out), or absent
  ConvGrid grid;
  long groups = 1;

  /// Throws ConfigError for channels or groups that do not fit together.
  ConvTranspose1d(Context<B>& ctx, const Config& c)
      : grid{c.taps, c.stride, c.dilation, c.before, c.after}, groups(c.groups) {
    detail::check_grid("conv_transpose1d", grid, groups);
    if (c.in < 1 || c.out < 1 || c.in % groups != 0 || c.out % groups != 0)
      throw ConfigError(concat("conv_transpose1d: ", c.in, " channels in and ", c.out, " out do not divide into ",
                               groups, " groups"));
    const Init init = Init::fan_in(c.out / groups * c.taps);
    weight = make_param(ctx, Shape<3>{c.in, c.taps, c.out / groups}, init);
    if (c.normed) gain = gains_of(ctx, weight);
    if (c.bias) bias = make_param(ctx, Shape<1>{c.out}, init);
  }

  Sequence<B> operator()(const Sequence<B>& x) const {
    if (!gain) return conv_transpose1d(x, weight, bias, grid, groups);
    return conv_transpose1d(x, normed_weight(x.context(), weight, gain), bias, grid, groups);
  }
  /// Frames that come out of `time` frames.
  long frames(long time) const { return grid.frames_back(time); }

  static void visit(auto& self, auto&& f) {
    f(self.gain ? "weight_v" : "weight", self.weight);
    f("weight_g", self.gain);
    f("bias", self.bias);
  }
};

}  // namespace phonaut
