#pragma once
// Scaled dot-product attention with several heads. Vaswani et al., "Attention is all you need", 2017.
//
// Scores are never kept: a block of queries at a time meets all its keys, and backward computes that block's weights
// again (Dao et al., "FlashAttention", 2022). So memory grows with T, and a block's scores stay in the cache.
#include "phonaut/core/sequence.hpp"
#include "phonaut/ops/arithmetic.hpp"
#include "phonaut/ops/gemm.hpp"
#include "phonaut/ops/softmax.hpp"

namespace phonaut {

struct AttentionOptions {
  long heads = 1;
  bool causal = false;  ///< query t sees keys 0 … t
};

namespace kernel {

/// Queries that meet their keys at one time: on a processor, as many as have their scores in its cache; on a GPU,
/// enough to keep it busy.
template <class B>
constexpr long attention_block = std::is_same_v<typename B::Memory, HostMemory> ? 64 : 512;

/// One block of queries of one utterance: which they are, and how many keys they see.
struct AttentionBlock {
  long n = 0, first = 0, queries = 0, keys = 0;
};

/// Calls run(block) for all blocks of queries, utterance by utterance.
template <class B, class F>
void for_each_attention_block(const Shape<3>& q, const Shape<3>& k, const long* lengths, bool causal, const F& run) {
  for (long n = 0; n < q[0]; ++n)
    for (long first = 0; first < q[1]; first += attention_block<B>) {
      const long queries = std::min(attention_block<B>, q[1] - first);
      const long keys = lengths ? lengths[n] : k[1];
      run(AttentionBlock{n, first, queries, causal ? std::min(keys, first + queries) : keys});
    }
}

/// weights (heads, queries, keys) = softmax of q kᵀ. `seen` (heads · queries) is scratch for the causal mask.
template <class B, class S>
void attention_weights(const B& backend, View<const S, 3> q, View<const S, 3> k, long heads, bool causal,
                       const AttentionBlock& at, long* seen, View<S, 3> weights) {
  const long width = q.shape[2] / heads;
  gemm(backend, Gemm<S>{.m = at.queries,
                        .n = at.keys,
                        .k = width,
                        .a = q.data + at.n * q.stride[0] + at.first * q.stride[1],
                        .a_row = q.stride[1],
                        .b = k.data + at.n * k.stride[0],
                        .b_row = 1,
                        .b_col = k.stride[1],
                        .c = weights.data,
                        .c_row = at.keys,
                        .batch = heads,
                        .a_batch = width,
                        .b_batch = width,
                        .c_batch = at.queries * at.keys});
  for (long i = 0; causal && i < heads * at.queries; ++i) seen[i] = std::min(at.keys, at.first + i % at.queries + 1);
  const View<S, 2> rows(weights.data, {heads * at.queries, at.keys});
  softmax_forward(backend, View<const S, 2>(rows), causal ? seen : nullptr, 1, rows);
}

/// y (N, T, C) = weights v, head by head; q must be scaled. `weights` is scratch for one block.
template <class B, class S>
void attention_forward(const B& backend, View<const S, 3> q, View<const S, 3> k, View<const S, 3> v,
                       const AttentionOptions& options, const long* lengths, long* seen, S* weights, View<S, 3> y) {
  const long width = v.shape[2] / options.heads;
  for_each_attention_block<B>(q.shape, k.shape, lengths, options.causal, [&](const AttentionBlock& at) {
    const View<S, 3> w(weights, {options.heads, at.queries, at.keys});
    attention_weights(backend, q, k, options.heads, options.causal, at, seen, w);
    gemm(backend, Gemm<S>{.m = at.queries,
                          .n = width,
                          .k = at.keys,
                          .a = w.data,
                          .a_row = at.keys,
                          .b = v.data + at.n * v.stride[0],
                          .b_row = v.stride[1],
                          .b_col = 1,
                          .c = y.data + at.n * y.stride[0] + at.first * y.stride[1],
                          .c_row = y.stride[1],
                          .batch = options.heads,
                          .a_batch = at.queries * at.keys,
                          .b_batch = width,
                          .c_batch = width});
  });
}
/// With P the weights: dv = Pᵀ dy, dP = dy vᵀ, dS = P (dP - <dP, P>), dq = dS k (of the scaled q), dk = dSᵀ q. dk and
/// dv are added to; dq is set.
template <class B, class S>
void attention_backward(const B& backend, View<const S, 3> dy, View<const S, 3> q, View<const S, 3> k,
                        View<const S, 3> v, const AttentionOptions& options, const long* lengths, long* seen,
                        S* weights, S* dweights, View<S, 3> dq, View<S, 3> dk, View<S, 3> dv) {
  const long heads = options.heads, width = q.shape[2] / heads, v_width = v.shape[2] / heads;
  for_each_attention_block<B>(q.shape, k.shape, lengths, options.causal, [&](const AttentionBlock& at) {
    const View<S, 3> w(weights, {heads, at.queries, at.keys});
    const long each = at.queries * at.keys;
    const S* dy_block = dy.data + at.n * dy.stride[0] + at.first * dy.stride[1];
    const S* q_block = q.data + at.n * q.stride[0] + at.first * q.stride[1];
    attention_weights(backend, q, k, heads, options.causal, at, seen, w);
    if (dv)
      gemm(backend, Gemm<S>{.m = at.keys,
                            .n = v_width,
                            .k = at.queries,
                            .a = w.data,
                            .a_row = 1,
                            .a_col = at.keys,
                            .b = dy_block,
                            .b_row = dy.stride[1],
                            .b_col = 1,
                            .c = dv.data + at.n * dv.stride[0],
                            .c_row = dv.stride[1],
                            .add = true,
                            .batch = heads,
                            .a_batch = each,
                            .b_batch = v_width,
                            .c_batch = v_width});
    if (!dq && !dk) return;
    gemm(backend, Gemm<S>{.m = at.queries,
                          .n = at.keys,
                          .k = v_width,
                          .a = dy_block,
                          .a_row = dy.stride[1],
                          .b = v.data + at.n * v.stride[0],
                          .b_row = 1,
                          .b_col = v.stride[1],
                          .c = dweights,
                          .c_row = at.keys,
                          .batch = heads,
                          .a_batch = v_width,
                          .b_batch = v_width,
                          .c_batch = each});
    const Shape<2> rows{heads * at.queries, at.keys};
    softmax_backward(backend, View<const S, 2>(dweights, rows), View<const S, 2>(w.data, rows),
                     Sink<S, 2>(dweights, rows, false));
    if (dq)
      gemm(backend, Gemm<S>{.m = at.queries,
                            .n = width,
                            .k = at.keys,
                            .a = dweights,
                            .a_row = at.keys,
                            .b = k.data + at.n * k.stride[0],
                            .b_row = k.stride[1],
                            .b_col = 1,
                            .c = dq.data + at.n * dq.stride[0] + at.first * dq.stride[1],
                            .c_row = dq.stride[1],
                            .batch = heads,
                            .a_batch = each,
                            .b_batch = width,
                            .c_batch = width});
    if (dk)
      gemm(backend, Gemm<S>{.m = at.keys,
                            .n = width,
                            .k = at.queries,
                            .a = dweights,
                            .a_row = 1,
                            .a_col = at.keys,
                            .b = q_block,
                            .b_row = q.stride[1],
                            .b_col = 1,
                            .c = dk.data + at.n * dk.stride[0],
                            .c_row = dk.stride[1],
                            .add = true,
                            .batch = heads,
                            .a_batch = each,
                            .b_batch = width,
                            .c_batch = width});
  });
}

}  // namespace kernel

namespace detail {

/// Scratch of attention: scores of one block, and the row lengths of the causal mask.
template <class B>
struct AttentionScratch {
  Tensor<B, 1> weights;
  Lengths seen;

  AttentionScratch(Context<B>& ctx, const AttentionOptions& options, long queries, long keys) {
    const long rows = options.heads * std::min(kernel::attention_block<B>, queries);
    weights = ctx.empty(Shape<1>{rows * keys});
    if (options.causal) seen = ctx.empty_lengths(rows);
  }
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
  const long* counts = lengths ? lengths.data() : nullptr;
  {
    const detail::AttentionScratch<B> scratch(ctx, options, qs[1], ks[1]);
    kernel::attention_forward(ctx.backend(), q.in(), k.in(), v.in(), options, counts,
                              scratch.seen ? scratch.seen.data() : nullptr, scratch.weights.data(), y.out());
  }
  return record(
      std::move(y),
      [x = target(any), q, k, v, options, lengths, factor](Context<B>& c, const Tensor<B, 3>& dy) {
        const auto dx = c.sink(x), dk = c.sink(k), dv = c.sink(v);
        for (const auto& sink : {dk, dv})
          if (sink && !sink.add) kernel::fill(c.backend(), sink.data, sink.size(), S(0));
        Tensor<B, 3> dq;
        if (dx) dq = c.empty(q.shape());
        {
          const long queries = q.extent(1), keys = k.extent(1);
          const detail::AttentionScratch<B> scratch(c, options, queries, keys), more(c, options, queries, keys);
          kernel::attention_backward(c.backend(), dy.in(), q.in(), k.in(), v.in(), options,
                                     lengths ? lengths.data() : nullptr, scratch.seen ? scratch.seen.data() : nullptr,
                                     scratch.weights.data(), more.weights.data(), dq.out(), View<S, 3>(dk),
                                     View<S, 3>(dv));
        }
        if (dx) kernel::scale(c.backend(), factor, detail::flat(dq.in()), dx.data, dx.add);
      },
      any, k, v);
}

}  // namespace phonaut
