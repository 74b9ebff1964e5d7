#pragma once
// Losses that make embeddings tell speakers apart.
#include <cmath>
#include <vector>

#include "phonaut/core/full_precision.hpp"
#include "phonaut/losses/cross_entropy.hpp"
#include "phonaut/losses/over_ranks.hpp"
#include "phonaut/ops/arithmetic.hpp"
#include "phonaut/ops/at_labels.hpp"
#include "phonaut/ops/embedding.hpp"
#include "phonaut/ops/formula/angular_margin.hpp"
#include "phonaut/ops/linear.hpp"
#include "phonaut/ops/map.hpp"
#include "phonaut/ops/reduce.hpp"
#include "phonaut/ops/scale_by.hpp"
#include "phonaut/ops/unit_rows.hpp"

namespace phonaut {

struct AamSoftmaxOptions {
  double margin = 0.2;  ///< radians that the own class must be ahead
  double scale = 30;    ///< of the cosines
};

/// Additive angular margin softmax: cross-entropy of scale · cos θ, where the own class has scale · cos(θ + margin).
/// Embeddings (N, C), one direction for each class (K, C), N labels; a negative label leaves its row out. J. Deng et
/// al., "ArcFace: Additive Angular Margin Loss for Deep Face Recognition", 2019. Throws ShapeError for labels or
/// directions that do not fit, ConfigError for a margin outside of [0, π/2] or a scale that is not positive.
template <class B>
Var<B, 0> aam_softmax_loss(const Var<B, 2>& embeddings, Weight<B, 2> directions, const Labels<B>& labels,
                           const AamSoftmaxOptions& options = {}) {
  if (!(options.margin >= 0 && options.margin <= 1.5707963267948967 && options.scale > 0))
    throw ConfigError(concat("aam_softmax_loss: need a margin in 0 … π/2 and a positive scale, got ", options.margin,
                             " and ", options.scale));
  auto& ctx = embeddings.context();
  const FullPrecision full(ctx);
  const Var<B, 2> cosines = linear(unit_rows(embeddings), unit_rows(ctx.lift(directions)));
  const formula::AngularMargin margin{std::cos(options.margin), std::sin(options.margin), options.margin};
  const auto logits = put_at(cosines, labels, map(take_at(cosines, labels), margin));
  return cross_entropy(typename B::Scalar(options.scale) * logits, labels);
}

/// Generalised end-to-end loss, softmax form: every embedding must be nearer to the mean of its own speaker's other
/// embeddings than to those of the other speakers. Embeddings (speakers, utterances, C) with at least 2 of both; the
/// similarity is scale · cos, with a trained scale that starts from 10; the published bias is common to all speakers
/// and cancels. Sum over embeddings, as published. In training the speakers are those of all ranks, each with all of
/// her utterances on one of them. L. Wan et al., "Generalized End-to-End Loss for Speaker Verification", 2018. Throws
/// ShapeError for fewer speakers or utterances.
template <class B>
Var<B, 0> ge2e_loss(const Var<B, 3>& embeddings, Weight<B, 0> scale) {
  auto& ctx = embeddings.context();
  const long each = embeddings.extent(1), width = embeddings.extent(2);
  const Var<B, 2> of_speakers = gather_over_ranks(reshape(embeddings, Shape<2>{embeddings.extent(0), each * width}));
  const long speakers = of_speakers.extent(0);
  if (speakers < 2 || each < 2)
    throw ShapeError(concat("ge2e_loss: embeddings ", text(Shape<3>{speakers, each, width}),
                            " must be of at least 2 speakers with 2 utterances each"));
  const FullPrecision full(ctx);
  const Var<B, 3> unit = unit_rows(reshape(of_speakers, Shape<3>{speakers, each, width}));
  const Var<B, 2> rows = reshape(unit, Shape<2>{speakers * each, width});
  // Sums over a speaker's utterances; with her own taken out, the direction of the mean of the others.
  const Var<B, 2> sums = sum_last(permute(unit, {0, 2, 1}));
  std::vector<std::int32_t> own;
  for (long i = 0; i < speakers * each; ++i) own.push_back(static_cast<std::int32_t>(i / each));
  const Labels<B> labels = labels_of(ctx, own);
  const Var<B, 2> cosines = linear(rows, unit_rows(sums));
  const Var<B, 2> others = unit_rows(embedding(ctx, labels, Weight<B, 2>(sums)) - rows);
  const Var<B, 2> similarities = put_at(cosines, labels, sum_last(rows * others));
  return cross_entropy(scale_by(whole_on_each_rank(ctx.lift(scale)), similarities), labels,
                       {.reduction = Reduction::sum});
}

}  // namespace phonaut
