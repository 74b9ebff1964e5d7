#pragma once
// What the layers of a frozen encoder know, as SUPERB asks: a trained mixture of them, and a small head on top. S. Yang
// et al., "SUPERB: Speech processing Universal PERformance Benchmark", 2021.
#include <optional>

#include "phonaut/layers/linear.hpp"
#include "phonaut/layers/weighted_layer_sum.hpp"
#include "phonaut/ops/activations.hpp"
#include "phonaut/ops/mask_frames.hpp"

namespace phonaut {

/// Frames (N, T, dim) of each layer -> logits of classes. SUPERB's heads for whole utterances (keywords, speakers,
/// intents, emotions) project every frame, take the mean over time and tell the class; for frames (phones, with CTC) a
/// linear map is all. `metrics/probe.hpp` fits one layer's linear probe to its optimum; this is trained by steps.
template <class B>
struct LayerProbe {
  struct Config {
    long layers = 0, dim = 0, classes = 0;
    long hidden = 256;    ///< channels of the projection; 0: none
    bool relu = false;    ///< behind the projection: a perceptron with one hidden layer, which is no SUPERB head
    bool normed = false;  ///< see WeightedLayerSum
  };
  WeightedLayerSum<B> mixture;
  std::optional<Linear<B>> projection;
  Linear<B> head;
  bool relu;

  /// Throws ConfigError without layers, channels or classes.
  LayerProbe(Context<B>& ctx, const Config& c)
      : mixture(ctx, {.layers = c.layers, .normed = c.normed}),
        projection(c.hidden > 0 ? std::optional<Linear<B>>(Linear<B>(ctx, {.in = c.dim, .out = c.hidden}))
                                : std::nullopt),
        head(ctx, {.in = c.hidden > 0 ? c.hidden : c.dim, .out = c.classes}),
        relu(c.relu) {}

  /// A class for each utterance: (N, classes). Throws as WeightedLayerSum, and ShapeError for another number of
  /// channels.
  Var<B, 2> utterances(const std::vector<Sequence<B>>& layers) const { return head(mean_over_time(mixed(layers))); }
  /// A class for each frame: (N, T, classes).
  Sequence<B> frames(const std::vector<Sequence<B>>& layers) const {
    const Sequence<B> x = mixed(layers);
    return x.with(head(x.frames));
  }
  static void visit(auto& self, auto&& f) {
    f("mixture", self.mixture);
    f("projection", self.projection);
    f("head", self.head);
  }

 private:
  Sequence<B> mixed(const std::vector<Sequence<B>>& layers) const {
    const Sequence<B> x = mixture(layers);
    if (!projection) return x;
    const Var<B, 3> y = (*projection)(x.frames);
    return x.with(relu ? phonaut::relu(y) : y);
  }
};

}  // namespace phonaut
