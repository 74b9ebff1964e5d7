#pragma once
// Which rows of a padded batch count. Light: per-instruction-set kernel files include it.
#include "phonaut/core/view.hpp"

namespace phonaut::kernel {

/// A batch (N, T, …, C) seen as a matrix: utterance n owns `each` rows, of which the first `of(n)` are real.
struct RealRows {
  long batch = 1;
  long each = 0;                  ///< rows per utterance, padding included
  long per_step = 1;              ///< rows per frame: the bands of an image
  const long* lengths = nullptr;  ///< (N) real frames, on the host; null when nothing is padded

  PHONAUT_HD PHONAUT_INLINE long of(long n) const { return lengths ? lengths[n] * per_step : each; }
  PHONAUT_HD PHONAUT_INLINE long total() const {
    long rows = 0;
    for (long n = 0; n < batch; ++n) rows += of(n);
    return rows;
  }
};

}  // namespace phonaut::kernel
