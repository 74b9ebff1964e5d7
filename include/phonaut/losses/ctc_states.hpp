#pragma once
// The states of an utterance in connectionist temporal classification. Light: the kernels of all instruction sets use
// it.
#include <cstdint>

#include "phonaut/core/view.hpp"

namespace phonaut::kernel {

/// Blank, first label, blank, …, last label, blank: what a path walks along, a state or two at a time.
struct CtcStates {
  const std::int32_t* label;
  long blank, count;  ///< count = 2 · labels + 1

  /// Those of utterance n of labels (N, U).
  PHONAUT_HD PHONAUT_INLINE CtcStates(View<const std::int32_t, 2> labels, const long* label_lengths, long blank_class,
                                      long n)
      : label(labels.row(n)), blank(blank_class), count(2 * label_lengths[n] + 1) {}
  /// The class of state s.
  PHONAUT_HD PHONAUT_INLINE long operator[](long s) const { return s % 2 ? label[s / 2] : blank; }
  /// Whether a path may jump from state s - 2 to state s: over a blank, to another label.
  PHONAUT_HD PHONAUT_INLINE bool jumps_to(long s) const { return s % 2 && s > 1 && label[s / 2] != label[s / 2 - 1]; }
};

}  // namespace phonaut::kernel
