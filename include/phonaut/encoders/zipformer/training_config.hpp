#pragma once
#include <functional>
#include <memory>
#include <optional>

#include "phonaut/core/scheduled_float.hpp"
#include "phonaut/core/sequence.hpp"

namespace phonaut {

/// What a Zipformer does in training alone (`ctx.train()`): parts that are left out by chance, and rules that bend
/// gradients. The members are those of the published recipe (Yao et al., "Zipformer", 2023, and its icefall
/// implementation); setting one to 0 switches it off, and `off()` is a Zipformer that trains as it infers. In inference
/// nothing of this runs.
///
/// Schedules look at the context's step, times `batches_per_step`, unless `schedules_at` holds them still. Draws come
/// from the context's generator: the same on every backend and any number of threads, and after a restart from a
/// checkpoint; what has a probability of 1 needs none.
///
/// A CudaGraph (core/cuda_graph.hpp) captures steps that may all do the same: with `schedules_at` set, nothing left out
/// by chance, and rules with a probability of 0 or 1.
///
/// Two things differ from icefall. Statistics are those of real frames, unless padding follows the reference. And
/// whitening is always applied with one probability, where icefall looks at a layer less often as long as it finds
/// nothing to do there; what the others get is the same.
struct ZipformerTraining {
  bool on = true;  ///< false: nothing of all this

  /// Batches of the schedules that one step counts for. The published ones mean batches of 600 s of audio, all workers
  /// together: with 60 s per step, this is 0.1.
  double batches_per_step = 1;
  /// The batch at which all schedules stand, instead of following the step.
  std::optional<double> schedules_at = {};

  // Left out by chance. Rates are probabilities; utterances are left out each for itself.
  ScheduledFloat dropout{{0, 0.3}, {20000, 0.1}};  ///< hidden units of feed-forwards and outputs of the stem, of whole
                                                   ///< utterances
  ScheduledFloat attention_skip{{0, 0.2}, {4000, 0.05}, {16000, 0}};      ///< three attention modules together
  ScheduledFloat conv_skip{{0, 0.2}, {4000, 0.05}, {16000, 0}};           ///< each of the two convolutions
  ScheduledFloat feed_forward2_skip{{0, 0.1}, {4000, 0.01}, {50000, 0}};  ///< the first one is never left out
  ScheduledFloat feed_forward3_skip{{0, 0.1}, {4000, 0.01}, {50000, 0}};
  ScheduledFloat even_attention{{0, 0.25}, {4000, 0.025}};  ///< weights of NonlinAttention become all alike
  ScheduledFloat position_skip{{0, 0.5}, {4000, 0}};        ///< attention weights from content alone
  ScheduledFloat position_dropout = 0.15;                   ///< elements of the table of positions
  double feature_mask = 0.125;  ///< channels behind `unmasked_dim`, in all frames; half of them once more
  /// Whole layers: the first rate until the layer's turn comes, then down to the second one times √downsample. Layers
  /// take turns, from bottom to top, between these batches; a Zipformer gives each stack its own.
  double layer_skip_first = 0.5, layer_skip_last = 0.035;
  double layers_from = 2000, layers_until = 4000;
  ScheduledFloat stem_skip{{0, 0.2}, {20000, 0.015}};  ///< branch of the ConvNeXt block

  // Rules of gradients.
  bool balancers = true;  ///< ops/balance.hpp, wherever the recipe has one
  /// One probability of all balancers, instead of the published ones.
  std::optional<double> balancer_probability = {};
  double whitening = 0.25;     ///< probability of ops/whiten.hpp, wherever the recipe has it
  double score_penalty = 0.1;  ///< probability of ops/penalize_scores.hpp
  double limits = 0.6;         ///< probability of ops/limit_value.hpp for scales of bypasses and norms
  double stem_gradient = 0.2;  ///< factor of the gradient of the first convolution's output; 0 or 1: unchanged
  ScheduledFloat bypass_least{{0, 0.9}, {20000, 0.2}};  ///< where the scales of a layer's bypasses are limited

  /// One limit of whitening for all places, instead of the published ones.
  std::optional<double> whitening_limit = {};
  /// Keep the slopes of the stem's activations in one byte instead of four, rounded by chance.
  bool byte_slopes = false;
  /// Uniform draws in [0, 1) to be used instead of the context's: draw i of a kind. For tests that bring their own.
  std::function<double(const char* kind, long i)> draws = {};

  static ZipformerTraining published() { return {}; }
  static ZipformerTraining off() {
    ZipformerTraining t;
    t.on = false;
    return t;
  }
};

namespace zipformer {

/// What the modules of a layer share: the recipe, and which frames count.
struct Recipe {
  ZipformerTraining training;
  Padding padding = Padding::masked;
};
using SharedRecipe = std::shared_ptr<const Recipe>;

/// Null if nothing is on.
inline SharedRecipe share(const ZipformerTraining& training, Padding padding) {
  return training.on ? std::make_shared<const Recipe>(Recipe{training, padding}) : nullptr;
}

}  // namespace zipformer
}  // namespace phonaut
