#pragma once
// Prediction of hidden frames in the space of a teacher: the semantic objective of JEPA and data2vec.
#include "phonaut/losses/regression.hpp"
#include "phonaut/ops/layer_norm.hpp"

namespace phonaut {

struct MaskedPredictionOptions {
  enum class Distance { l1, mse, smooth_l1 } distance = Distance::smooth_l1;
  double beta = 1;               ///< where smooth L1 turns linear
  bool normalise_target = true;  ///< layer norm of the target, without gain and bias
  double epsilon = 1e-5;         ///< of that norm
};

/// Mean distance, over rows and channels, between predictions and layer-normed targets (rows, C). The targets are
/// constants: no gradient reaches the teacher. M. Assran et al., "Self-Supervised Learning from Images with a
/// Joint-Embedding Predictive Architecture", 2023. Throws ShapeError if the shapes differ.
template <class B>
Var<B, 0> masked_prediction_loss(const Var<B, 2>& prediction, const Var<B, 2>& target,
                                 const MaskedPredictionOptions& options = {}) {
  using Distance = MaskedPredictionOptions::Distance;
  auto& ctx = prediction.context();
  Var<B, 2> wanted = ctx.detach(target);
  if (options.normalise_target) wanted = layer_norm(wanted, {}, {}, options.epsilon);
  switch (options.distance) {
    case Distance::l1:
      return l1_loss(prediction, wanted);
    case Distance::mse:
      return mse_loss(prediction, wanted);
    case Distance::smooth_l1:
      break;
  }
  return smooth_l1_loss(prediction, wanted, options.beta);
}

/// The same over the frames that were hidden: those that `marks` (N · T, nonzero: hidden) chooses among the real ones.
/// Predictions and targets are (N, T, C), prediction's lengths count. Nothing hidden: 0.
template <class B, class Flags>
Var<B, 0> masked_prediction_loss(const Sequence<B>& prediction, const Sequence<B>& target, const Flags& marks,
                                 const MaskedPredictionOptions& options = {}) {
  check_same_shape("masked_prediction_loss", "the prediction", prediction.frames.shape(), "the target",
                   target.frames.shape());
  const FrameRows<B> rows = marked_rows(prediction, marks);
  return masked_prediction_loss(take_rows(prediction.frames, rows),
                                take_rows(prediction.context().detach(target.frames), rows), options);
}

}  // namespace phonaut
