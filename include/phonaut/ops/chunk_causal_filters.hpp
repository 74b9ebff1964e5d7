#pragma once
// What a chunk-causal convolution computes with. Light: per-instruction-set kernel files include it.
#include "phonaut/core/view.hpp"

namespace phonaut::kernel {

/// y = causal + scale · chunkwise, channel by channel, with K taps and P = K / 2:
///   causal[t] = causal_bias + Σ_{k <= P} causal_weight[k] x[t + k - P], across chunk borders;
///   chunkwise[t] = chunk_bias + Σ_{k < K} chunk_weight[k] x[t + k - P], as if there were nothing outside of t's chunk;
///   scale[i] = 1 + (i < K ? edge[0, c, i] : 0) + (K - size + i >= 0 ? edge[1, c, K - size + i] : 0), where i is t's
///   place in its chunk of `size` frames.
template <class S>
struct ChunkCausalFilters {
  View<const S, 2> causal_weight;  ///< (C, P + 1)
  const S* causal_bias = nullptr;  ///< (C)
  View<const S, 2> chunk_weight;   ///< (C, K)
  const S* chunk_bias = nullptr;   ///< (C)
  View<const S, 3> edge;           ///< (2, C, K)
  long chunk = -1;                 ///< frames per chunk; negative or more than there are: one chunk of all frames
  const long* lengths = nullptr;   ///< (N): "all frames" are those of the utterance; null: those of the batch

  PHONAUT_HD PHONAUT_INLINE long taps() const { return chunk_weight.shape[1]; }
  /// Frames per chunk of utterance n in a batch of `time` frames.
  PHONAUT_HD PHONAUT_INLINE long chunk_of(long n, long time) const {
    const long all = lengths ? lengths[n] : time;
    const long size = chunk < 0 || chunk > all ? all : chunk;
    return size > 0 ? size : 1;
  }
};
template <class S>
struct ChunkCausalSinks {
  Sink<S, 2> causal_weight;
  Sink<S, 1> causal_bias;
  Sink<S, 2> chunk_weight;
  Sink<S, 1> chunk_bias;
  Sink<S, 3> edge;
};

}  // namespace phonaut::kernel
