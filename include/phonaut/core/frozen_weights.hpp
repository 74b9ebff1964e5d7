#pragma once
// Weights that stay as they are, for a while.
#include "phonaut/core/context.hpp"

namespace phonaut {

/// While it lives, the weights of layers are constants in this context; gradients still go through them to what the
/// layers are given. For discriminators that judge a generator, teachers, and feature extractors that are not trained:
/// the products that would be their gradients are not computed.
template <class B>
class FrozenWeights {
 public:
  explicit FrozenWeights(Context<B>& ctx) : ctx_(ctx), before_(ctx.frozen()) { ctx.set_frozen(true); }
  FrozenWeights(const FrozenWeights&) = delete;
  FrozenWeights& operator=(const FrozenWeights&) = delete;
  ~FrozenWeights() { ctx_.set_frozen(before_); }

 private:
  Context<B>& ctx_;
  bool before_;
};

}  // namespace phonaut
