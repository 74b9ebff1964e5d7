#pragma once
// The operands of relative_attention.hpp. Light: per-instruction-set kernel files include it.
#include "phonaut/core/backend.hpp"
#include "phonaut/core/view.hpp"
#include "phonaut/ops/attention_span.hpp"

namespace phonaut::kernel {

/// A batch of frames whose heads lie side by side, and whether a gradient is to be added to them.
template <class S>
struct HeadFrames {
  View<S, 3> frames;  ///< (N, T, heads · width)
  bool add = false;
};

/// score[n, h, t, s] = <q[t], k[s]> + <p[t], r[T - 1 - t + s]>, weights = softmax over the keys of `span`, 0 elsewhere.
/// q (N, T, H·query), k (N, S, H·query), p (N, T, H·position), r (T + S - 1, H·position), heads outermost in a frame.
template <class S>
struct RelativeAttention {
  long heads = 0;
  AttentionSpan span;
  View<const S, 3> q, k, p;
  View<const S, 2> r;

  PHONAUT_HD PHONAUT_INLINE long batch() const { return q.shape[0]; }
  PHONAUT_HD PHONAUT_INLINE long queries() const { return q.shape[1]; }
  PHONAUT_HD PHONAUT_INLINE long keys() const { return k.shape[1]; }
  PHONAUT_HD PHONAUT_INLINE long query_width() const { return q.shape[2] / heads; }
  PHONAUT_HD PHONAUT_INLINE long position_width() const { return p.shape[2] / heads; }
};

}  // namespace phonaut::kernel
