#pragma once
// The matrix products of attention: one for each head of each utterance, over the frames that the utterance has.
#include <algorithm>
#include <type_traits>

#include "phonaut/core/view.hpp"
#include "phonaut/ops/gemm.hpp"

namespace phonaut::kernel {

/// Which of a product's sizes an utterance's length limits.
struct Limited {
  bool m = false, n = false, k = false;
};

/// `first` are the products of the first utterance, one of a batch for each head; the next utterance has those of the
/// same size whose operands lie a_step, b_step and c_step elements further. With `lengths` (on the host), utterance u
/// has at most lengths[u] rows (m), columns (n) or terms of a sum (k), whichever `limits` names. What the operands have
/// beyond that is not looked at; what a result of the full size has becomes 0, or stays as it is where the products are
/// added to it.
template <class S>
struct UtteranceProducts {
  Gemm<S> first;
  long utterances = 1;
  long a_step = 0, b_step = 0, c_step = 0;
  const long* lengths = nullptr;
  Limited limits = {};

  /// The same within lengths; null: all utterances have the full size.
  UtteranceProducts within(const long* other, const Limited& what) const {
    UtteranceProducts p = *this;
    p.lengths = other;
    p.limits = what;
    return p;
  }
  /// The products of utterance u.
  PHONAUT_HD PHONAUT_INLINE Gemm<S> of(long u) const {
    Gemm<S> g = first;
    g.a += u * a_step;
    g.b += u * b_step;
    g.c += u * c_step;
    if (!lengths) return g;
    const long length = lengths[u];
    if (limits.m && length < g.m) g.m = length;
    if (limits.n && length < g.n) g.n = length;
    if (limits.k && length < g.k) g.k = length;
    return g;
  }
};

/// How many utterances are looked at together: on a processor one, whose scores it has in its cache; on a GPU as many
/// as have their scores in 64 MiB.
template <class B>
long utterances_together(long utterances, long scores_of_one) {
  constexpr long most_scores = std::is_same_v<typename B::Memory, HostMemory> ? 1 : 1L << 24;
  return std::clamp(most_scores / std::max(1L, scores_of_one), 1L, std::max(1L, utterances));
}

// Scores (N, heads, T, S) of T queries and S keys, and frames (N, T or S, C), a head's channels side by side.

/// scores = x yᵀ, frames of x for queries and of y for keys.
template <class S>
UtteranceProducts<S> frames_by_frames(View<const S, 3> x, View<const S, 3> y, View<S, 4> scores, bool add = false) {
  const long width = x.shape[2] / scores.shape[1];
  return {.first = {.m = scores.shape[2],
                    .n = scores.shape[3],
                    .k = width,
                    .a = x.data,
                    .a_row = x.stride[1],
                    .b = y.data,
                    .b_row = 1,
                    .b_col = y.stride[1],
                    .c = scores.data,
                    .c_row = scores.stride[2],
                    .add = add,
                    .batch = scores.shape[1],
                    .a_batch = width,
                    .b_batch = width,
                    .c_batch = scores.stride[1]},
          .utterances = scores.shape[0],
          .a_step = x.stride[0],
          .b_step = y.stride[0],
          .c_step = scores.stride[0]};
}

/// Which axis of scores a product adds up over.
enum class Over { keys, queries };

/// y = scores x over keys, frames of y for queries; or y = scoresᵀ x over queries, frames of y for keys.
template <class S>
UtteranceProducts<S> scores_by_frames(Over over, View<const S, 4> scores, View<const S, 3> x, View<S, 3> y,
                                      bool add = false) {
  const bool turned = over == Over::queries;
  const long width = x.shape[2] / scores.shape[1];
  return {.first = {.m = scores.shape[turned ? 3 : 2],
                    .n = width,
                    .k = scores.shape[turned ? 2 : 3],
                    .a = scores.data,
                    .a_row = turned ? 1 : scores.stride[2],
                    .a_col = turned ? scores.stride[2] : 1,
                    .b = x.data,
                    .b_row = x.stride[1],
                    .b_col = 1,
                    .c = y.data,
                    .c_row = y.stride[1],
                    .add = add,
                    .batch = scores.shape[1],
                    .a_batch = scores.stride[1],
                    .b_batch = width,
                    .c_batch = width},
          .utterances = scores.shape[0],
          .a_step = scores.stride[0],
          .b_step = x.stride[0],
          .c_step = y.stride[0]};
}

/// Sets what the results have beyond the limits to 0.
template <class S>
void clear_beyond_limits(const Reference&, const UtteranceProducts<S>& p) {
  for (long u = 0; u < p.utterances; ++u) {
    const Gemm<S> g = p.of(u);
    for (long q = 0; q < g.batch; ++q)
      for (long i = g.n < p.first.n ? 0 : g.m; i < p.first.m; ++i) {
        S* row = g.c + q * g.c_batch + i * g.c_row;
        std::fill(row + (i < g.m ? g.n : 0), row + p.first.n, S(0));
      }
  }
}
void clear_beyond_limits(const Cpu& cpu, const UtteranceProducts<float>& p);
void clear_beyond_limits(const Cuda& cuda, const UtteranceProducts<float>& p);

/// Utterance after utterance: the products of one fill a processor.
template <class B, class S>
void utterance_products(const B& backend, const UtteranceProducts<S>& p) {
  for (long u = 0; u < p.utterances; ++u) {
    const Gemm<S> g = p.of(u);
    if (g.m > 0 && g.n > 0) gemm(backend, g);
  }
  if (p.lengths && !p.first.add && (p.limits.m || p.limits.n)) clear_beyond_limits(backend, p);
}
/// All of them at once, unless calls of the library, one for each utterance or one for each head of all utterances,
/// take less time.
void utterance_products(const Cuda& cuda, const UtteranceProducts<float>& p);

}  // namespace phonaut::kernel
