#pragma once
#include "phonaut/core/param.hpp"
#include "phonaut/encoders/zipformer/training.hpp"
#include "phonaut/ops/bypass.hpp"

namespace phonaut::zipformer {

/// y = old + (new - old) · bypass_scale, per channel.
template <class B>
struct Bypass {
  struct Config {
    long dim = 0;
    ScheduledFloat least = 0;  ///< in training, the scale is led back into [least, most] when it leaves it
    double most = 1;
    ScheduledFloat skip = 0;  ///< in training, how often an utterance stays as it was
    SharedRecipe recipe = {};
  };
  Config config;
  Param<B, 1> bypass_scale;  ///< (dim)

  Bypass(Context<B>& ctx, const Config& c)
      : config(c), bypass_scale(make_param(ctx, Shape<1>{c.dim}, Init::constant(0.5))) {}

  /// Every frame of `fresh` stands for `repeat` frames of `old`.
  Var<B, 3> operator()(const Var<B, 3>& old, const Var<B, 3>& fresh, long repeat = 1) const {
    const Training<B> training(config.recipe, old.context());
    if (!training) return bypass(old, fresh, bypass_scale, repeat);
    const Var<B, 1> scale = training.limited(bypass_scale, config.least, config.most);
    const UtteranceFlags kept = training.kept(old.extent(0), training.at(config.skip), "bypass_skip");
    if (!kept) return bypass(old, fresh, scale, repeat);
    // An utterance that stays moves from old towards old.
    if (std::count(kept.data(), kept.data() + kept.size(), 1) == 0) return old;
    return bypass(old, choose_utterances(kept, fresh, old), scale);
  }
  static void visit(auto& self, auto&& f) { f("bypass_scale", self.bypass_scale); }
};

}  // namespace phonaut::zipformer
