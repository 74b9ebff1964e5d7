#pragma once
// HuBERT: masked prediction of cluster labels. W.-N. Hsu et al., "HuBERT: Self-Supervised Speech Representation
// Learning by Masked Prediction of Hidden Units", 2021.
#include "phonaut/losses/cross_entropy.hpp"
#include "phonaut/ops/arithmetic.hpp"
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
  if (static_cast<long>(std::size(labels)) != x.batch() * x.time())
    throw ShapeError(concat("hubert_loss: frames ", text(x.frames.shape()), " are ", x.batch() * x.time(),
                            ", but there are ", std::size(labels), " labels"));
  check_lengths("hubert_loss", x);
  const Var<B, 2> logits = cosine_logits(valid_frames(x), embeddings, options.temperature);
  // One table of logits; the frames that a term leaves out are ignored labels.
  const auto part = [&](bool hidden) {
    std::vector<long> chosen;
    chosen.reserve(static_cast<size_t>(logits.extent(0)));
    for (long n = 0; n < x.batch(); ++n)
      for (long t = 0; t < x.length(n); ++t) {
        const long at = n * x.time() + t;
        chosen.push_back((std::data(marks)[at] != 0) == hidden ? static_cast<long>(std::data(labels)[at]) : -1);
      }
    return cross_entropy(logits, labels_of(x.context(), chosen), {.reduction = Reduction::sum});
  };
  if (static_cast<long>(std::size(marks)) != x.batch() * x.time())
    throw ShapeError(concat("hubert_loss: frames ", text(x.frames.shape()), " are ", x.batch() * x.time(),
                            ", but there are ", std::size(marks), " marks"));
  using S = typename B::Scalar;
  if (options.unmasked_weight == 0) return S(options.masked_weight) * part(true);
  return S(options.masked_weight) * part(true) + S(options.unmasked_weight) * part(false);
}

}  // namespace phonaut
