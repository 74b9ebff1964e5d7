#pragma once
// A penalty on large attention scores, as a gradient alone. Yao et al., "Zipformer", 2023.
#include "phonaut/core/full_precision.hpp"
#include "phonaut/ops/gemm.hpp"
#include "phonaut/ops/relative_attention.hpp"
#include "phonaut/ops/utterance_products.hpp"

namespace phonaut {

namespace kernel {

/// The gradient of penalty · max(0, |score| - limit).
template <class S>
PHONAUT_HD PHONAUT_INLINE S score_penalty(S score, S limit, S penalty) {
  return score > limit ? penalty : score < -limit ? -penalty : S(0);
}

/// Writes or adds the gradient of the penalty on all scores that `a` describes and its span shows. r may be absent,
/// with a p of no channels. `scores` (U, heads, queries, keys) is scratch for as many utterances as are looked at
/// together. On hosts detail::penalize_head does this and leaves out what follows where no score is too large; to find
/// that out, this would have to wait.
void penalize_scores_backward(const Cuda& cuda, const RelativeAttention<float>& a, float limit, float penalty,
                              View<float, 4> scores, HeadFrames<float> dq, HeadFrames<float> dk, HeadFrames<float> dp,
                              Sink<float, 2> dr);

}  // namespace kernel

namespace detail {

/// Turns content scores (queries, keys) into the gradient of the penalty on each score together with its positional
/// part places[t, queries - 1 - t + s]. `places` may be empty. Returns whether any is not 0.
template <class S>
bool become_penalties(View<S, 2> scores, View<const S, 2> places, S limit, S penalty) {
  bool any = false;
  for (long t = 0; t < scores.shape[0]; ++t) {
    S* const row = scores.row(t);
    const S* const place = places ? places.row(t) + (scores.shape[0] - 1 - t) : nullptr;
    for (long s = 0; s < scores.shape[1]; ++s) {
      row[s] = kernel::score_penalty(place ? row[s] + place[s] : row[s], limit, penalty);
      any = any || row[s] != S(0);
    }
  }
  return any;
}

/// Queries whose scores are looked at together: the scratch memory stays small, however long the utterance.
constexpr long penalized_queries = 64;

/// Adds the penalty's gradient of one head of one utterance, `frames` of which are real, to what `open` provides.
template <class B, class S, class Open>
void penalize_head(Context<B>& c, const std::array<View<const S, 3>, 3>& parts, const View<const S, 2>& r, long n,
                   long h, long frames, const RelativeAttentionOptions& o, S limit, S penalty, const Open& open) {
  const auto head = [&](const auto& x, long width, long t) {
    return x.data + n * x.stride[0] + t * x.stride[1] + h * width;
  };
  const auto& [q, k, p] = parts;
  const long qw = o.query_width, pw = o.position_width, time = q.shape[1];
  const auto product = [&](long m, long cols, long inner, const S* a, long a_row, long a_col, const S* b, long b_row,
                           long b_col, S* to, long to_row, bool add) {
    kernel::gemm(c.backend(), kernel::Gemm<S>{.m = m,
                                              .n = cols,
                                              .k = inner,
                                              .a = a,
                                              .a_row = a_row,
                                              .a_col = a_col,
                                              .b = b,
                                              .b_row = b_row,
                                              .b_col = b_col,
                                              .c = to,
                                              .c_row = to_row,
                                              .add = add});
  };
  for (long begin = 0; begin < frames; begin += penalized_queries) {
    const long m = std::min(penalized_queries, frames - begin);
    const Tensor<B, 2> scores = c.empty(Shape<2>{m, frames});
    product(m, frames, qw, head(q, qw, begin), q.stride[1], 1, head(k, qw, 0), 1, k.stride[1], scores.data(), frames,
            false);
    // Row t of the block sees relative positions time - 1 - (begin + t) + s: the last row begins at `low`.
    const long low = time - begin - m, span = frames + m - 1;
    Tensor<B, 2> places;
    if (r) {
      places = c.empty(Shape<2>{m, span});
      product(m, span, pw, head(p, pw, begin), p.stride[1], 1, r.row(low) + h * pw, 1, r.stride[0], places.data(), span,
              false);
    }
    if (!become_penalties(scores.out(), places.in(), limit, penalty)) continue;
    std::array<View<S, 3>, 3> to;
    Sink<S, 2> dr;
    open(to, dr);
    if (to[0]) {
      product(m, qw, frames, scores.data(), frames, 1, head(k, qw, 0), k.stride[1], 1, head(to[0], qw, begin),
              to[0].stride[1], true);
      product(frames, qw, m, scores.data(), 1, frames, head(q, qw, begin), q.stride[1], 1, head(to[1], qw, 0),
              to[1].stride[1], true);
    }
    if (!r) continue;
    kernel::fill(c.backend(), places.data(), places.size(), S(0));
    for (long t = 0; t < m; ++t) {
      auto row = places.out();
      row.data += t * span + m - 1 - t;
      row.shape = {1, frames};
      View<const S, 2> from = scores.in();
      from.data += t * frames;
      from.shape = {1, frames};
      kernel::copy_block(c.backend(), from, row, false);
    }
    if (to[2])
      product(m, pw, span, places.data(), span, 1, r.row(low) + h * pw, r.stride[0], 1, head(to[2], pw, begin),
              to[2].stride[1], true);
    if (dr)
      product(span, pw, m, places.data(), 1, span, head(p, pw, begin), p.stride[1], 1, dr.row(low) + h * pw,
              dr.stride[0], true);
  }
}

/// Adds the penalty's gradient to those of x and r.
template <class B, class S>
void penalize(Context<B>& c, const Var<B, 3>& x, const Var<B, 2>& r, const Lengths& lengths,
              const RelativeAttentionOptions& o, S limit, S penalty) {
  auto parts = query_key_position(x.in(), o);
  const View<const S, 2> places = r ? r.in() : View<const S, 2>();
  const long batch = x.extent(0), time = x.extent(1);
  if constexpr (std::is_same_v<typename B::Memory, HostMemory>) {
    // Nothing is touched as long as no score is too large, which is the rule.
    const auto open = [&](std::array<View<S, 3>, 3>& to, Sink<S, 2>& dr) {
      if (const auto dx = c.sink(x)) to = query_key_position(View<S, 3>(dx), o);
      if (!r) return;
      dr = c.sink(r);
      if (dr && !dr.add) kernel::fill(c.backend(), dr.data, dr.size(), S(0));
    };
    for (long n = 0; n < batch; ++n)
      for (long h = 0; h < o.heads; ++h)
        penalize_head(c, parts, places, n, h, lengths ? lengths.data()[n] : time, o, limit, penalty, open);
  } else {
    const long scores_of_one = o.heads * time * time;
    if (batch * scores_of_one == 0) return;
    if (!r) parts[2].shape[2] = 0;
    const auto scores = c.empty(Shape<4>{kernel::utterances_together<B>(batch, scores_of_one), o.heads, time, time});
    const auto to = gradient_of_parts(c.sink(x), o);
    const kernel::AttentionSpan real{.lengths = lengths ? lengths.data() : nullptr};
    kernel::penalize_scores_backward(c.backend(), {o.heads, real, parts[0], parts[1], parts[2], places}, limit, penalty,
                                     scores.out(), to[0], to[1], to[2], c.sink(r));
  }
}

}  // namespace detail

/// The projection itself, the same memory. Backward adds, to its gradient and that of `relative`, the gradient of
/// penalty · Σ max(0, |score| - limit) over all scores of `relative_attention_weights` with the same arguments, hidden
/// by chunks or not; with Padding::masked those of real frames. `relative` may be absent: scores of content alone. The
/// penalty does not show in the loss, and does not grow or shrink with it. Throws ShapeError if the channels do not
/// fit.
template <class B>
Sequence<B> penalize_scores(const Sequence<B>& projection, const Var<B, 2>& relative,
                            const RelativeAttentionOptions& options, double limit = 25, double penalty = 1e-4) {
  using S = typename B::Scalar;
  check_lengths("penalize_scores", projection);
  check_channels("penalize_scores", projection.frames.shape(),
                 options.heads * (2 * options.query_width + options.position_width), options.heads, " heads of width ",
                 options.query_width, " and ", options.position_width);
  const long rows = std::max(0L, 2 * projection.time() - 1);
  if (relative && relative.shape() != Shape<2>{rows, options.heads * options.position_width})
    throw ShapeError(concat("penalize_scores: ", projection.time(), " frames need relative positions ",
                            text(Shape<2>{rows, options.heads * options.position_width}), ", got ",
                            text(relative.shape())));
  const Var<B, 3> x = projection.frames;
  const FullPrecision full(x.context());  // for the way back, which computes the scores
  const Var<B, 2> r = relative ? packed(relative) : relative;
  const Lengths lengths = options.padding == Padding::masked ? projection.lengths : Lengths();
  const auto backward = [x, r, options, lengths, limit, penalty](Context<B>& c, const Tensor<B, 3>& dy) {
    detail::hand_on(c, dy, x);
    detail::penalize(c, x, r, lengths, options, S(limit), S(penalty));
  };
  if (r) return projection.with(record(x.tensor(), backward, x, r));
  return projection.with(record(x.tensor(), backward, x));
}

}  // namespace phonaut
