#pragma once
// Spectral normalisation as what a layer keeps for it: the singular vectors that its weight is measured with.
#include "phonaut/core/param.hpp"
#include "phonaut/ops/spectral_norm.hpp"

namespace phonaut {

/// Follows the largest singular value of one weight, as torch.nn.utils.parametrizations.spectral_norm does: 15 rounds
/// of power iteration at the start, then one for each call in training and none in inference.
template <class B>
struct SpectralNorm {
  State<B, 1> u, v;  ///< (O) and (the rest of the weight's elements), of length 1
  long rounds = 1;   ///< for each call

  /// Throws ConfigError for a weight without elements.
  template <size_t R>
  SpectralNorm(Context<B>& ctx, const Param<B, R>& weight, long rounds_ = 1) : rounds(rounds_) {
    using S = typename B::Scalar;
    if (weight.size() == 0) throw ConfigError(concat("spectral norm: the weight ", text(weight.shape()), " is empty"));
    const long rows = weight.extent(0);
    u = make_state<S>(ctx, Shape<1>{rows}, Init::normal(1));
    v = make_state<S>(ctx, Shape<1>{weight.size() / rows}, Init::normal(1));
    iterate(ctx, weight, 15);
  }

  /// weight / its largest singular value. In training u and v then follow the weight first, so do not call it within
  /// `recompute`, which would call it twice.
  template <size_t R>
  Var<B, R> operator()(Context<B>& ctx, const Param<B, R>& weight) const {
    if (!ctx.training()) return spectral_norm(ctx.lift(weight), u.tensor(), v.tensor());
    iterate(ctx, weight, rounds);
    // The backward pass needs these very vectors, and the next call changes them.
    return spectral_norm(ctx.lift(weight), ctx.clone(u.tensor()), ctx.clone(v.tensor()));
  }
  static void visit(auto& self, auto&& f) {
    f("u", self.u);
    f("v", self.v);
  }

 private:
  template <size_t R>
  void iterate(Context<B>& ctx, const Param<B, R>& weight, long count) const {
    const long rows = weight.extent(0), width = weight.size() / rows;
    const auto wide = ctx.template empty_of<kernel::Wide<typename B::Scalar>>(Shape<1>{width});
    kernel::power_iteration(ctx.backend(), View<const typename B::Scalar, 2>(weight.in().data, {rows, width}), count,
                            u.tensor().out(), v.tensor().out(), wide.data());
  }
};

}  // namespace phonaut
