#pragma once
// Normalisations with trained gains and biases, as layers. Names of members are those of published checkpoints.
#include "phonaut/core/param.hpp"
#include "phonaut/ops/group_norm.hpp"
#include "phonaut/ops/layer_norm.hpp"
#include "phonaut/ops/rms_norm.hpp"

namespace phonaut {

/// Normalises over the innermost axis: (…, dim) -> (…, dim). Starts as gain 1, bias 0.
template <class B>
struct LayerNorm {
  struct Config {
    long dim = 0;
    double epsilon = 1e-5;
    bool affine = true;  ///< with gain and bias
  };
  Param<B, 1> weight;  ///< gain (dim), or absent
  Param<B, 1> bias;    ///< (dim), or absent
  double epsilon;

  LayerNorm(Context<B>& ctx, const Config& c) : epsilon(c.epsilon) {
    if (c.dim < 1) throw ConfigError(concat("layer_norm: there is nothing to normalise in ", c.dim, " channels"));
    if (!c.affine) return;
    weight = make_param(ctx, Shape<1>{c.dim}, Init::constant(1));
    bias = make_param(ctx, Shape<1>{c.dim}, Init::constant(0));
  }

  template <size_t R>
  Var<B, R> operator()(const Var<B, R>& x) const {
    return layer_norm(x, weight, bias, epsilon);
  }
  Sequence<B> operator()(const Sequence<B>& x) const { return x.with((*this)(x.frames)); }

  static void visit(auto& self, auto&& f) {
    f("weight", self.weight);
    f("bias", self.bias);
  }
};

/// Divides by the root mean square over the innermost axis: (…, dim) -> (…, dim). Starts as gain 1.
template <class B>
struct RmsNorm {
  struct Config {
    long dim = 0;
    double epsilon = 1e-6;
  };
  Param<B, 1> weight;  ///< gain (dim)
  double epsilon;

  RmsNorm(Context<B>& ctx, const Config& c) : epsilon(c.epsilon) {
    if (c.dim < 1) throw ConfigError(concat("rms_norm: there is nothing to normalise in ", c.dim, " channels"));
    weight = make_param(ctx, Shape<1>{c.dim}, Init::constant(1));
  }

  template <size_t R>
  Var<B, R> operator()(const Var<B, R>& x) const {
    return rms_norm(x, weight, epsilon);
  }
  Sequence<B> operator()(const Sequence<B>& x) const { return x.with((*this)(x.frames)); }

  static void visit(auto& self, auto&& f) { f("weight", self.weight); }
};

/// Normalises groups of channels over the real frames of each utterance; groups = dim is instance normalisation.
/// Starts as gain 1, bias 0.
template <class B>
struct GroupNorm {
  struct Config {
    long dim = 0, groups = 1;
    double epsilon = 1e-5;
  };
  Param<B, 1> weight;  ///< gain (dim)
  Param<B, 1> bias;    ///< (dim)
  long groups;
  double epsilon;

  GroupNorm(Context<B>& ctx, const Config& c) : groups(c.groups), epsilon(c.epsilon) {
    if (c.dim < 1 || c.groups < 1 || c.dim % c.groups != 0)
      throw ConfigError(concat("group_norm: ", c.dim, " channels do not divide into ", c.groups, " groups"));
    weight = make_param(ctx, Shape<1>{c.dim}, Init::constant(1));
    bias = make_param(ctx, Shape<1>{c.dim}, Init::constant(0));
  }

  Sequence<B> operator()(const Sequence<B>& x) const { return group_norm(x, groups, weight, bias, epsilon); }

  static void visit(auto& self, auto&& f) {
    f("weight", self.weight);
    f("bias", self.bias);
  }
};

}  // namespace phonaut
