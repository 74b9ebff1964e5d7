#pragma once
// Scaled dot-product attention with several heads. Vaswani et al., "Attention is all you need", 2017.
//
// Scores are never kept: a block of queries at a time meets all its keys, and backward computes that block's weights
// again (Dao et al., "FlashAttention", 2022). So memory grows with T, and a block's scores stay in the cache.
#include "phonaut/core/sequence.hpp"
#include "phonaut/ops/arithmetic.hpp"
#include "phonaut/ops/softmax.hpp"
#include "phonaut/ops/utterance_products.hpp"

namespace phonaut {

struct AttentionOptions {
  long heads = 1;
  bool causal = false;  ///< query t sees keys 0 … t
};

namespace kernel {

/// How much of a batch is looked at together: on a processor as many queries of one utterance as have their scores in
/// its cache; on a GPU enough to keep it busy, of several utterances.
template <class B>
struct AttentionBlocks {
  static constexpr bool on_host = std::is_same_v<typename B::Memory, HostMemory>;
  static constexpr long most_queries = on_host ? 64 : 512;

  long queries, utterances;  ///< of a block, at most
  AttentionBlocks(const Shape<3>& q, long keys, long heads)
      : queries(std::min(most_queries, q[1])), utterances(utterances_together<B>(q[0], heads * queries * keys)) {}
};

/// One block: which utterances and queries, and how many keys the longest of those utterances shows them.
struct AttentionBlock {
  long n = 0, utterances = 0, first = 0, queries = 0, keys = 0;
};

/// Queries, keys and values of attention, and who may see whom. Frames hold the channels of all heads side by side.
template <class S>
struct Attention {
  View<const S, 3> q, k, v;
  AttentionOptions options;
  const long* lengths = nullptr;  ///< keys of each utterance, on the host; null: all

  /// Calls run(block) for all blocks, some utterances after the other.
  template <class B, class F>
  void for_each_block(const AttentionBlocks<B>& blocks, const F& run) const {
    for (long n = 0; n < q.shape[0]; n += blocks.utterances) {
      const long utterances = std::min(blocks.utterances, q.shape[0] - n);
      const long keys = lengths ? *std::max_element(lengths + n, lengths + n + utterances) : k.shape[1];
      for (long first = 0; first < q.shape[1]; first += blocks.queries) {
        const long queries = std::min(blocks.queries, q.shape[1] - first);
        run(AttentionBlock{n, utterances, first, queries, options.causal ? std::min(keys, first + queries) : keys});
      }
    }
  }

  /// The block's scores (utterances, heads, queries, keys), and the same as rows.
  View<S, 4> scores(const AttentionBlock& at, S* memory) const {
    return {memory, {at.utterances, options.heads, at.queries, at.keys}};
  }
  View<S, 2> rows(const AttentionBlock& at, S* memory) const {
    return {memory, {at.utterances * options.heads * at.queries, at.keys}};
  }
  const long* lengths_of(const AttentionBlock& at) const { return lengths ? lengths + at.n : nullptr; }
};

/// Frames of the block's utterances from `first` on.
template <class S>
View<S, 3> frames_of(const AttentionBlock& at, View<S, 3> x, long first) {
  x.data += at.n * x.stride[0] + first * x.stride[1];
  return x;
}

/// softmax_forward in place, where the rows are those of `queries` queries over and over, and query i sees no more than
/// the keys 0 … first + i. `seen`, as many numbers as there are rows, is scratch on the host.
template <class B, class S>
void causal_softmax(const B& backend, View<S, 2> rows, const long* lengths, long rows_per_length, long first,
                    long queries, long* seen) {
  for (long r = 0; r < rows.shape[0]; ++r)
    seen[r] = std::min(row_length(lengths, rows_per_length, rows.shape[1], r), first + r % queries + 1);
  softmax_forward(backend, View<const S, 2>(rows), seen, 1, rows);
}
/// Needs no `seen`.
void causal_softmax(const Cuda& cuda, View<float, 2> rows, const long* lengths, long rows_per_length, long first,
                    long queries, long* seen);

/// The block's weights = softmax of q kᵀ. Of shorter utterances in it the scores beyond their keys are never looked at.
template <class B, class S>
void attention_weights(const B& backend, const Attention<S>& a, const AttentionBlock& at, long* seen, S* weights) {
  utterance_products(backend,
                     frames_by_frames(frames_of(at, a.q, at.first), frames_of(at, a.k, 0), a.scores(at, weights)));
  const View<S, 2> rows = a.rows(at, weights);
  const long* lengths = at.utterances > 1 ? a.lengths_of(at) : nullptr;  // one alone has at.keys
  const long rows_per_length = a.options.heads * at.queries;
  if (a.options.causal) causal_softmax(backend, rows, lengths, rows_per_length, at.first, at.queries, seen);
  else softmax_forward(backend, View<const S, 2>(rows), lengths, rows_per_length, rows);
}

/// y (N, T, C) = weights v, head by head; q must be scaled. `weights` is scratch for one block.
template <class B, class S>
void attention_forward(const B& backend, const Attention<S>& a, const AttentionBlocks<B>& blocks, long* seen,
                       S* weights, View<S, 3> y) {
  a.for_each_block(blocks, [&](const AttentionBlock& at) {
    attention_weights(backend, a, at, seen, weights);
    utterance_products(backend, scores_by_frames(Over::keys, View<const S, 4>(a.scores(at, weights)),
                                                 frames_of(at, a.v, 0), frames_of(at, y, at.first))
                                    .within(a.lengths_of(at), {.k = true}));
  });
}
/// With P the weights: dv = Pᵀ dy, dP = dy vᵀ, dS = P (dP - <dP, P>), dq = dS k (of the scaled q), dk = dSᵀ q. dk and
/// dv are added to; dq is set.
template <class B, class S>
void attention_backward(const B& backend, View<const S, 3> dy, const Attention<S>& a, const AttentionBlocks<B>& blocks,
                        long* seen, S* weights, S* dweights, View<S, 3> dq, View<S, 3> dk, View<S, 3> dv) {
  a.for_each_block(blocks, [&](const AttentionBlock& at) {
    const long* lengths = a.lengths_of(at);
    const auto dy_here = frames_of(at, dy, at.first);
    const auto onto_keys = [&](S* scores, View<const S, 3> x, View<S, 3> to) {
      utterance_products(backend, scores_by_frames(Over::queries, View<const S, 4>(a.scores(at, scores)), x,
                                                   frames_of(at, to, 0), true)
                                      .within(lengths, {.m = true}));
    };
    attention_weights(backend, a, at, seen, weights);
    if (dv) onto_keys(weights, dy_here, dv);
    if (!dq && !dk) return;
    utterance_products(
        backend, frames_by_frames(dy_here, frames_of(at, a.v, 0), a.scores(at, dweights)).within(lengths, {.n = true}));
    const View<S, 2> rows = a.rows(at, dweights);
    softmax_backward(backend, View<const S, 2>(rows), View<const S, 2>(a.rows(at, weights)),
                     Sink<S, 2>(dweights, rows.shape, false));
    if (dq)
      utterance_products(backend, scores_by_frames(Over::keys, View<const S, 4>(a.scores(at, dweights)),
                                                   frames_of(at, a.k, 0), frames_of(at, dq, at.first))
                                      .within(lengths, {.k = true}));
    if (dk) onto_keys(dweights, frames_of(at, a.q, at.first), dk);
  });
}

}  // namespace kernel

namespace detail {

/// Scratch of attention: scores of one block, and the row lengths of the causal mask.
template <class B>
struct AttentionScratch {
  Tensor<B, 1> weights;
  Lengths seen;

  AttentionScratch(Context<B>& ctx, const kernel::AttentionBlocks<B>& blocks, const AttentionOptions& options,
                   long keys) {
    const long rows = blocks.utterances * options.heads * blocks.queries;
    weights = ctx.empty(Shape<1>{rows * keys});
    if (options.causal && blocks.on_host) seen = ctx.empty_lengths(rows);
  }
  long* seen_keys() const { return seen ? seen.data() : nullptr; }
};

}  // namespace detail

/// softmax(q kᵀ / √d) v for each head: q (N, T, heads · d), k (N, S, heads · d), v (N, S, heads · e) -> (N, T,
/// heads · e); a head's channels lie together. With `lengths` utterance n has lengths[n] keys, and queries beyond its
/// length (where T = S) are computed, but mean nothing. Throws ShapeError for parts that do not fit.
template <class B>
Var<B, 3> attention(const Var<B, 3>& any_q, const Var<B, 3>& k, const Var<B, 3>& v, const AttentionOptions& options,
                    const Lengths& lengths = {}) {
  using S = typename B::Scalar;
  const Shape<3>&qs = any_q.shape(), &ks = k.shape(), &vs = v.shape();
  if (options.heads < 1 || qs[0] != ks[0] || ks[0] != vs[0] || ks[1] != vs[1] || qs[2] != ks[2] ||
      qs[2] % options.heads != 0 || vs[2] % options.heads != 0)
    throw ShapeError(concat("attention: queries ", text(qs), ", keys ", text(ks), " and values ", text(vs),
                            " do not fit each other and ", options.heads, " heads"));
  if (lengths) detail::check_row_lengths("attention", lengths, Shape<2>{ks[0], ks[1]});
  auto& ctx = any_q.context();
  const S factor = S(1.0 / std::sqrt(static_cast<double>(std::max(1L, qs[2] / options.heads))));
  const Var<B, 3> any = packed(any_q);
  const Tensor<B, 3> q = ctx.empty(qs);
  kernel::scale(ctx.backend(), factor, detail::flat(any.in()), q.data(), false);
  auto y = ctx.empty(Shape<3>{qs[0], qs[1], vs[2]});
  const auto describe = [q, k, v, options, lengths] {
    return kernel::Attention<S>{q.in(), k.in(), v.in(), options, lengths ? lengths.data() : nullptr};
  };
  const kernel::AttentionBlocks<B> blocks(qs, ks[1], options.heads);
  {
    const detail::AttentionScratch<B> scratch(ctx, blocks, options, ks[1]);
    kernel::attention_forward(ctx.backend(), describe(), blocks, scratch.seen_keys(), scratch.weights.data(), y.out());
  }
  return record(
      std::move(y),
      [x = target(any), q, k, v, options, blocks, describe, factor](Context<B>& c, const Tensor<B, 3>& dy) {
        const auto dx = c.sink(x), dk = c.sink(k), dv = c.sink(v);
        for (const auto& sink : {dk, dv})
          if (sink && !sink.add) kernel::fill(c.backend(), sink.data, sink.size(), S(0));
        Tensor<B, 3> dq;
        if (dx) dq = c.empty(q.shape());
        {
          const detail::AttentionScratch<B> scratch(c, blocks, options, k.extent(1)),
              more(c, blocks, {.heads = options.heads}, k.extent(1));
          kernel::attention_backward(c.backend(), dy.in(), describe(), blocks, scratch.seen_keys(),
                                     scratch.weights.data(), more.weights.data(), dq.out(), View<S, 3>(dk),
                                     View<S, 3>(dv));
        }
        if (dx) kernel::scale(c.backend(), factor, detail::flat(dq.in()), dx.data, dx.add);
      },
      any, k, v);
}

}  // namespace phonaut
