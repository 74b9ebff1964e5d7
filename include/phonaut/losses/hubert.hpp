#pragma once
// HuBERT: masked prediction of cluster labels. W.-N. Hsu et al., "HuBERT: Self-Supervised Speech Representation
// Learning by Masked Prediction of Hidden Units", 2021.
#include "phonaut/core/full_precision.hpp"
#include "phonaut/losses/masked_cross_entropy.hpp"
#include "phonaut/ops/linear.hpp"
#include "phonaut/ops/unit_rows.hpp"

namespace phonaut {

struct HubertOptions {
  double temperature = 0.1;
  double masked_weight = 1, unmasked_weight = 0;
};

/// Logits cos(x, e_v) / temperature of projected frames x (…, C) against label embeddings (V, C) -> (…, V).
template <class B, size_t R>
Var<B, R> cosine_logits(const Var<B, R>& x, Weight<B, 2> embeddings, double temperature = 0.1) {
  const FullPrecision full(x.context());
  const Var<B, 2> table = x.context().lift(embeddings);
  return typename B::Scalar(1 / temperature) * linear(unit_rows(x), unit_rows(table));
}

/// Σ over frames of the cross-entropy of `cosine_logits`, hidden frames weighted by masked_weight and the others by
/// unmasked_weight. x holds projected frames, `labels` one label for each of its N · T frames, on the host; `marks`
/// (N · T, nonzero: hidden). Frames beyond the lengths do not count. A sum, as published: trainers divide by what they
/// count.
template <class B, class Values, class Flags>
Var<B, 0> hubert_loss(const Sequence<B>& x, Weight<B, 2> embeddings, const Values& labels, const Flags& marks,
                      const HubertOptions& options = {}) {
  detail::check_labels_and_marks("hubert_loss", x, labels, marks);
  const Var<B, 2> logits = cosine_logits(valid_frames(x), embeddings, options.temperature);
  return detail::masked_cross_entropy_of_rows(x, logits, labels, marks,
                                              {options.masked_weight, options.unmasked_weight});
}

}  // namespace phonaut
