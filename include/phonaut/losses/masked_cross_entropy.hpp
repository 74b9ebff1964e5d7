#pragma once
// Masked prediction of labels: cross-entropy at the frames that were hidden, and perhaps at the others.
#include <span>
#include <vector>

#include "phonaut/losses/cross_entropy.hpp"
#include "phonaut/ops/arithmetic.hpp"

namespace phonaut {

struct MaskedCrossEntropyOptions {
  double masked_weight = 1, unmasked_weight = 0;
};

namespace detail {

/// Throws ShapeError unless there is one label and one mark for each frame.
template <class B, class Values, class Flags>
void check_labels_and_marks(const char* op, const Sequence<B>& x, const Values& labels, const Flags& marks) {
  check_lengths(op, x);
  const long frames = x.batch() * x.time();
  if (static_cast<long>(std::size(labels)) != frames)
    throw ShapeError(concat(op, ": frames ", text(x.frames.shape()), " are ", frames, ", but there are ",
                            std::size(labels), " labels"));
  if (static_cast<long>(std::size(marks)) != frames)
    throw ShapeError(concat(op, ": frames ", text(x.frames.shape()), " are ", frames, ", but there are ",
                            std::size(marks), " marks"));
}
/// The loss from the logits (rows, V) of x's real frames.
template <class B, class Values, class Flags>
Var<B, 0> masked_cross_entropy_of_rows(const Sequence<B>& x, const Var<B, 2>& logits, const Values& labels,
                                       const Flags& marks, const MaskedCrossEntropyOptions& options) {
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
  using S = typename B::Scalar;
  if (options.unmasked_weight == 0) return S(options.masked_weight) * part(true);
  return S(options.masked_weight) * part(true) + S(options.unmasked_weight) * part(false);
}

}  // namespace detail

/// Σ over frames of the cross-entropy of logits (N, T, V), hidden frames weighted by masked_weight and the others by
/// unmasked_weight. `labels` holds one for each of the N · T frames, on the host, negative ones where there is none;
/// `marks` (N · T, nonzero: hidden). Frames beyond the lengths do not count. A sum, as published: trainers divide by
/// what they count. Throws ShapeError for another number of labels or marks, or a label beyond the classes.
template <class B, class Values, class Flags>
Var<B, 0> masked_cross_entropy(const Sequence<B>& logits, const Values& labels, const Flags& marks,
                               const MaskedCrossEntropyOptions& options = {}) {
  detail::check_labels_and_marks("masked_cross_entropy", logits, labels, marks);
  return detail::masked_cross_entropy_of_rows(logits, valid_frames(logits), labels, marks, options);
}

/// How many frames have their label as the greatest logit.
struct LabelHits {
  long masked = 0, masked_right = 0, unmasked = 0, unmasked_right = 0;

  /// Share of the hidden frames that are right, 0 … 1; 0 if none is hidden.
  double masked_share() const {
    return masked > 0 ? static_cast<double>(masked_right) / static_cast<double>(masked) : 0;
  }
  double unmasked_share() const {
    return unmasked > 0 ? static_cast<double>(unmasked_right) / static_cast<double>(unmasked) : 0;
  }
  LabelHits& operator+=(const LabelHits& o) {
    masked += o.masked, masked_right += o.masked_right;
    unmasked += o.unmasked, unmasked_right += o.unmasked_right;
    return *this;
  }
};

/// Counts hits among hidden and other frames, with the arguments of `masked_cross_entropy`; frames beyond the lengths
/// or with a negative label are not counted. Brings the logits to the host.
template <class B, class Values, class Flags>
LabelHits label_hits(const Sequence<B>& logits, const Values& labels, const Flags& marks) {
  detail::check_labels_and_marks("label_hits", logits, labels, marks);
  const auto values = values_of(logits.frames);
  const long classes = logits.channels();
  LabelHits hits;
  for (long n = 0; n < logits.batch(); ++n)
    for (long t = 0; t < logits.length(n); ++t) {
      const long at = n * logits.time() + t, label = static_cast<long>(std::data(labels)[at]);
      if (label < 0) continue;
      const auto* row = values.data() + at * classes;
      const bool right = std::max_element(row, row + classes) - row == label;
      const bool hidden = std::data(marks)[at] != 0;
      (hidden ? hits.masked : hits.unmasked) += 1;
      (hidden ? hits.masked_right : hits.unmasked_right) += right;
    }
  return hits;
}

/// Labels at one rate for `frames` frames at another: frame t takes label floor(t · label_rate / frame_rate), -1 where
/// there is none. Throws ConfigError unless both rates are positive.
inline std::vector<long> labels_at_rate(std::span<const std::int32_t> labels, double label_rate, double frame_rate,
                                        long frames) {
  if (!(label_rate > 0) || !(frame_rate > 0))
    throw ConfigError(concat("labels_at_rate: rates must be positive, got ", label_rate, " and ", frame_rate, " Hz"));
  std::vector<long> chosen(static_cast<size_t>(frames), -1);
  for (long t = 0; t < frames; ++t) {
    // The least bit more than exact, so that rates whose ratio is whole hit it.
    const auto at = static_cast<size_t>(static_cast<double>(t) * label_rate / frame_rate * (1 + 1e-12));
    if (at < labels.size()) chosen[static_cast<size_t>(t)] = labels[at];
  }
  return chosen;
}

}  // namespace phonaut
