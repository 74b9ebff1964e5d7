#pragma once
// The layers of an encoder as one representation, mixed as a task likes it. S. Yang et al., "SUPERB: Speech processing
// Universal PERformance Benchmark", 2021; M. Peters et al., "Deep contextualized word representations", 2018.
#include <vector>

#include "phonaut/core/param.hpp"
#include "phonaut/core/sequence.hpp"
#include "phonaut/ops/layer_norm.hpp"
#include "phonaut/ops/softmax.hpp"
#include "phonaut/ops/weighted_sum.hpp"

namespace phonaut {

/// Σ_l softmax(weights)_l x_l over frames (N, T, C) of each layer. Starts as their mean.
template <class B>
struct WeightedLayerSum {
  struct Config {
    long layers = 0;
    bool normed = false;  ///< each frame of each layer by its mean and deviation first, so that loud layers do not win
  };
  Param<B, 1> weights;  ///< (layers), before the softmax
  bool normed;

  /// Throws ConfigError without layers.
  WeightedLayerSum(Context<B>& ctx, const Config& c) : normed(c.normed) {
    if (c.layers < 1) throw ConfigError(concat("weighted layer sum: there are ", c.layers, " layers"));
    weights = make_param(ctx, Shape<1>{c.layers}, Init::constant(0));
  }

  /// Throws ShapeError for another number of layers, or layers whose shapes or lengths differ.
  Sequence<B> operator()(const std::vector<Sequence<B>>& layers) const {
    if (static_cast<long>(layers.size()) != weights.size())
      throw ShapeError(
          concat("weighted layer sum: there are weights of ", weights.size(), " layers, but ", layers.size(), " came"));
    std::vector<Var<B, 3>> frames;
    for (const Sequence<B>& x : layers) {
      for (long n = 0; n < x.batch() && n < layers.front().batch(); ++n)
        if (x.length(n) != layers.front().length(n))
          throw ShapeError(concat("weighted layer sum: utterance ", n, " has ", layers.front().length(n),
                                  " frames in one layer, but ", x.length(n), " in another"));
      frames.push_back(normed ? layer_norm(x.frames) : x.frames);
    }
    return layers.front().with(weighted_sum(frames, softmax(layers.front().context().lift(weights))));
  }
  static void visit(auto& self, auto&& f) { f("weights", self.weights); }
};

}  // namespace phonaut
