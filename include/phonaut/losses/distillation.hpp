#pragma once
// Learning from the layers of a teacher: data2vec's targets and loss, and the cosine distances of SpeechTokenizer.
#include <cmath>
#include <vector>

#include "phonaut/losses/regression.hpp"
#include "phonaut/ops/arithmetic.hpp"
#include "phonaut/ops/formula/log_sigmoid.hpp"
#include "phonaut/ops/group_norm.hpp"
#include "phonaut/ops/layer_norm.hpp"
#include "phonaut/ops/map.hpp"
#include "phonaut/ops/mask_frames.hpp"
#include "phonaut/ops/reduce.hpp"
#include "phonaut/ops/unit_rows.hpp"

namespace phonaut {

struct Data2vecOptions {
  enum class Norm { none, layer, instance } norm = Norm::instance;  ///< of each teacher layer, without gain and bias
  bool normalise_average = false;                                   ///< layer norm of the average of the layers
  double beta = 0;  ///< 0: squared distance; else smooth L1 with that β
  double epsilon = 1e-5;
  double scale = 0;  ///< of the loss; 0 means 1 / √C
};

/// data2vec's target: the mean of the teacher's top layers, each normalised; instance norm is over the real frames of
/// an utterance, channel by channel. No gradient leads back. A. Baevski et al., "data2vec: A General Framework for
/// Self-supervised Learning in Speech, Vision and Language", 2022. Throws ShapeError for no layers.
template <class B>
Sequence<B> data2vec_target(const std::vector<Sequence<B>>& layers, const Data2vecOptions& options = {}) {
  using Norm = Data2vecOptions::Norm;
  if (layers.empty()) throw ShapeError("data2vec_target: no layers were given");
  auto& ctx = layers.front().context();
  Var<B, 3> total;
  for (const Sequence<B>& layer : layers) {
    Sequence<B> y = layer.with(ctx.detach(layer.frames));
    if (options.norm == Norm::instance) y = group_norm(y, y.channels(), {}, {}, options.epsilon);
    if (options.norm == Norm::layer) y = y.with(layer_norm(y.frames, {}, {}, options.epsilon));
    total = total ? total + y.frames : y.frames;
  }
  total = typename B::Scalar(1.0 / static_cast<double>(layers.size())) * total;
  if (options.normalise_average) total = layer_norm(total, {}, {}, options.epsilon);
  return layers.front().with(total);
}

/// data2vec's loss: Σ over hidden frames and channels of the distance between prediction and target, times `scale`.
template <class B, class Flags>
Var<B, 0> data2vec_loss(const Sequence<B>& prediction, const Sequence<B>& target, const Flags& marks,
                        const Data2vecOptions& options = {}) {
  check_same_shape("data2vec_loss", "the prediction", prediction.frames.shape(), "the target", target.frames.shape());
  const FrameRows<B> rows = marked_rows(prediction, marks);
  const Var<B, 2> x = take_rows(prediction.frames, rows);
  const Var<B, 2> y = take_rows(prediction.context().detach(target.frames), rows);
  const double scale =
      options.scale > 0 ? options.scale : 1 / std::sqrt(static_cast<double>(std::max(1L, prediction.channels())));
  if (options.beta > 0)
    return detail::pair_sum("data2vec_loss", formula::SmoothDistance{static_cast<float>(options.beta)}, scale, x, y);
  return detail::pair_sum("data2vec_loss", formula::SquaredDistance{}, scale, x, y);
}

namespace detail {

/// Mean of -log sigmoid(cos(x, y)) over rows.
template <class B>
Var<B, 0> cosine_distance(const Var<B, 2>& x, const Var<B, 2>& y) {
  return -mean(map(sum_last(unit_rows(x) * unit_rows(y)), formula::LogSigmoid{}));
}

}  // namespace detail

/// SpeechTokenizer's distillation along time: mean over utterances and channels of -log sigmoid of the cosine between
/// the two time courses of that channel. X. Zhang et al., "SpeechTokenizer: Unified Speech Tokenizer for Speech Large
/// Language Models", 2024. Throws ShapeError if the shapes differ.
template <class B>
Var<B, 0> distill_over_time(const Sequence<B>& x, const Sequence<B>& target) {
  check_same_shape("distill_over_time", "x", x.frames.shape(), "the target", target.frames.shape());
  const auto courses = [&](const Var<B, 3>& frames) {
    const Var<B, 3> real = mask_frames(x.with(frames)).frames;  // zeros add nothing to a product or a norm
    return reshape(permute(real, {0, 2, 1}), Shape<2>{x.batch() * x.channels(), x.time()});
  };
  return detail::cosine_distance(courses(x.frames), courses(x.context().detach(target.frames)));
}

/// SpeechTokenizer's distillation frame by frame: mean |x - y| + weight · mean of -log sigmoid of the cosine along
/// channels, over the real frames.
template <class B>
Var<B, 0> distill_over_channels(const Sequence<B>& x, const Sequence<B>& target, double weight = 1) {
  const auto [a, b] = detail::both_valid("distill_over_channels", x, target.with(x.context().detach(target.frames)));
  return l1_loss(a, b) + typename B::Scalar(weight) * detail::cosine_distance(a, b);
}

}  // namespace phonaut
