#pragma once
// Attention weights from content and relative position. Yao et al., "Zipformer", 2023; the scores are those of Dai et
// al., "Transformer-XL", 2019, without their two biases and without a scale.
#include "phonaut/core/math.hpp"
#include "phonaut/core/sequence.hpp"
#include "phonaut/ops/relative_scores.hpp"
#include "phonaut/ops/shape.hpp"
#include "phonaut/ops/wide.hpp"

namespace phonaut {

namespace kernel {

/// How many numbers of scratch memory the kernels want for these operands.
template <class S>
void relative_attention_forward_scratch(const Reference&, const RelativeAttention<S>&, long& numbers) {
  numbers = 0;
}
template <class S>
void relative_attention_backward_scratch(const Reference&, const RelativeAttention<S>& a, long& numbers) {
  numbers = a.queries() * a.keys();
}
void relative_attention_forward_scratch(const Cpu& cpu, const RelativeAttention<float>& a, long& numbers);
void relative_attention_backward_scratch(const Cpu& cpu, const RelativeAttention<float>& a, long& numbers);

template <class S>
void relative_attention_forward(const Reference&, const RelativeAttention<S>& a, S* /*scratch*/, View<S, 4> weights) {
  using math::exp;
  using math::max;
  using W = Wide<S>;
  const long queries = a.queries(), keys = a.keys(), width = a.query_width(), place = a.position_width();
  for (long n = 0; n < a.batch(); ++n)
    for (long h = 0; h < a.heads; ++h)
      for (long t = 0; t < queries; ++t) {
        S* row = &weights(n, h, t, 0);
        const auto span = a.span.keys_of(n, t, queries, keys);
        if (span.empty()) {
          std::fill_n(row, keys, a.span.uniform_if_empty ? S(1.0 / static_cast<double>(keys)) : S(0));
          continue;
        }
        // Element by element: a head of width 0 has no first element to point at.
        const auto score = [&](long s) {
          W total = 0;
          for (long c = 0; c < width; ++c) total += W(a.q(n, t, h * width + c)) * W(a.k(n, s, h * width + c));
          for (long c = 0; c < place; ++c)
            total += W(a.p(n, t, h * place + c)) * W(a.r(queries - 1 - t + s, h * place + c));
          return total;
        };
        W largest = score(span.begin), total = 0;
        for (long s = span.begin + 1; s < span.end; ++s) largest = max(largest, score(s));
        for (long s = span.begin; s < span.end; ++s) total += exp(score(s) - largest);
        for (long s = 0; s < keys; ++s)
          row[s] = s < span.begin || s >= span.end ? S(0) : S(exp(score(s) - largest) / total);
      }
}
void relative_attention_forward(const Cpu& cpu, const RelativeAttention<float>& a, float* scratch,
                                View<float, 4> weights);
/// With dS = A (dA - Σ_s A dA) inside of the span and 0 elsewhere:
/// dq[t] = Σ_s dS k[s], dk[s] = Σ_t dS q[t], dp[t] = Σ_s dS r[T-1-t+s], dr[j] = Σ_{n,t} dS[t, j-T+1+t] p[t].
template <class S>
void relative_attention_backward(const Reference&, const RelativeAttention<S>& a, View<const S, 4> dweights,
                                 View<const S, 4> weights, S* scratch, HeadFrames<S> dq, HeadFrames<S> dk,
                                 HeadFrames<S> dp, Sink<S, 2> dr) {
  using W = Wide<S>;
  const long queries = a.queries(), keys = a.keys(), width = a.query_width(), place = a.position_width();
  const View<S, 2> dscores(scratch, {queries, keys});
  const auto store = [](const HeadFrames<S>& to, long n, long t, long c, W value) {
    S& at = to.frames(n, t, c);
    at = to.add ? S(W(at) + value) : S(value);
  };
  if (dr && !dr.add) std::fill_n(dr.data, dr.size(), S(0));
  for (long n = 0; n < a.batch(); ++n)
    for (long h = 0; h < a.heads; ++h) {
      for (long t = 0; t < queries; ++t) {
        const auto span = a.span.keys_of(n, t, queries, keys);
        W dot = 0;
        for (long s = span.begin; s < span.end; ++s) dot += W(weights(n, h, t, s)) * W(dweights(n, h, t, s));
        for (long s = 0; s < keys; ++s)
          dscores(t, s) =
              s < span.begin || s >= span.end ? S(0) : S(W(weights(n, h, t, s)) * (W(dweights(n, h, t, s)) - dot));
      }
      const auto ds = [&](long t, long s) { return W(dscores(t, s)); };
      for (long t = 0; dq.frames && t < queries; ++t)
        for (long c = 0; c < width; ++c) {
          W total = 0;
          for (long s = 0; s < keys; ++s) total += ds(t, s) * W(a.k(n, s, h * width + c));
          store(dq, n, t, h * width + c, total);
        }
      for (long s = 0; dk.frames && s < keys; ++s)
        for (long c = 0; c < width; ++c) {
          W total = 0;
          for (long t = 0; t < queries; ++t) total += ds(t, s) * W(a.q(n, t, h * width + c));
          store(dk, n, s, h * width + c, total);
        }
      for (long t = 0; dp.frames && t < queries; ++t)
        for (long c = 0; c < place; ++c) {
          W total = 0;
          for (long s = 0; s < keys; ++s) total += ds(t, s) * W(a.r(queries - 1 - t + s, h * place + c));
          store(dp, n, t, h * place + c, total);
        }
      for (long j = 0; dr && j < queries + keys - 1; ++j)
        for (long c = 0; c < place; ++c) {
          W total = 0;
          for (long t = std::max(0L, queries - 1 - j); t < queries && j - queries + 1 + t < keys; ++t)
            total += ds(t, j - queries + 1 + t) * W(a.p(n, t, h * place + c));
          dr.data[j * dr.stride[0] + h * place + c] += S(total);
        }
    }
}
void relative_attention_backward(const Cpu& cpu, const RelativeAttention<float>& a, View<const float, 4> dweights,
                                 View<const float, 4> weights, float* scratch, HeadFrames<float> dq,
                                 HeadFrames<float> dk, HeadFrames<float> dp, Sink<float, 2> dr);
void relative_attention_forward_scratch(const Cuda& cuda, const RelativeAttention<float>&, long& numbers);
void relative_attention_backward_scratch(const Cuda& cuda, const RelativeAttention<float>& a, long& numbers);
void relative_attention_forward(const Cuda& cuda, const RelativeAttention<float>& a, float*, View<float, 4> weights);
void relative_attention_backward(const Cuda& cuda, const RelativeAttention<float>& a, View<const float, 4> dweights,
                                 View<const float, 4> weights, float* scratch, HeadFrames<float> dq,
                                 HeadFrames<float> dk, HeadFrames<float> dp, Sink<float, 2> dr);

}  // namespace kernel

/// Options of `relative_attention_weights`.
struct RelativeAttentionOptions {
  long heads = 1;
  long query_width = 1;     ///< channels of a query or key, per head
  long position_width = 1;  ///< channels of a positional query, per head
  long chunk = -1;          ///< frames per chunk; negative: no chunks
  long left_chunks = -1;    ///< chunks to the left that a query may see; negative: all
  Padding padding = Padding::masked;
};

namespace detail {

inline kernel::AttentionSpan span_of(const RelativeAttentionOptions& o, const Lengths& lengths) {
  return {lengths ? lengths.data() : nullptr, std::max(0L, o.chunk), o.left_chunks, o.padding == Padding::reference};
}

/// The queries, keys and positional queries inside of a projection's channels.
template <class S>
std::array<View<S, 3>, 3> query_key_position(const View<S, 3>& x, const RelativeAttentionOptions& o) {
  std::array<View<S, 3>, 3> parts{x, x, x};
  const long width = o.heads * o.query_width;
  advance(parts[1], 2, width);
  advance(parts[2], 2, 2 * width);
  parts[0].shape[2] = parts[1].shape[2] = width;
  parts[2].shape[2] = o.heads * o.position_width;
  return parts;
}
/// Where their gradients go.
template <class S>
std::array<kernel::HeadFrames<S>, 3> gradient_of_parts(const Sink<S, 3>& dx, const RelativeAttentionOptions& o) {
  if (!dx) return {};
  const auto [q, k, p] = query_key_position(View<S, 3>(dx), o);
  return {{{q, dx.add}, {k, dx.add}, {p, dx.add}}};
}

}  // namespace detail

/// Keys of frames before a chunk and of the chunk itself, when a stream remembers them.
template <class B>
struct StreamedKeys {
  Var<B, 3> keys;  ///< (N, S, H·query), S >= T: the last T belong to the frames of the chunk
  Lengths first;   ///< (N) first key of each stream that ever was; empty: all were
};

namespace detail {

template <class B>
Var<B, 4> relative_attention(const Sequence<B>& projection, const StreamedKeys<B>& streamed, const Var<B, 2>& relative,
                             const RelativeAttentionOptions& options) {
  using S = typename B::Scalar;
  check_lengths("relative_attention", projection);
  const long batch = projection.batch(), time = projection.time(), heads = options.heads;
  const Var<B, 3> x = projection.frames, keys = streamed.keys;
  const long key_time = keys ? keys.extent(1) : time, past = key_time - time;
  check_channels("relative_attention", x.shape(), heads * (2 * options.query_width + options.position_width), heads,
                 " heads of width ", options.query_width, " and ", options.position_width);
  if (keys && (keys.extent(0) != batch || past < 0 || keys.extent(2) != heads * options.query_width))
    throw ShapeError(concat("relative_attention: ", heads, " heads of width ", options.query_width, " and a chunk ",
                            text(x.shape()), " do not fit keys ", text(keys.shape())));
  if (streamed.first && streamed.first.extent(0) != batch)
    throw ShapeError(concat("relative_attention: ", batch, " streams but ", streamed.first.extent(0), " first keys"));
  const Shape<2> table{time > 0 ? time + key_time - 1 : 0, heads * options.position_width};
  if (relative.shape() != table)
    throw ShapeError(concat("relative_attention: ", time, " frames, ", past, " before them and ", heads,
                            " heads of width ", options.position_width, " need relative positions ", text(table),
                            ", got ", text(relative.shape())));
  const Var<B, 2> r = packed(relative);
  auto& ctx = x.context();
  Lengths real_keys = projection.lengths;
  if (real_keys && past > 0) real_keys = map_lengths(projection, [past](long length) { return past + length; });
  const auto describe = [x, keys, r, options, real_keys, first = streamed.first] {
    auto [q, k, p] = detail::query_key_position(x.in(), options);
    if (keys) k = keys.in();
    auto span = detail::span_of(options, real_keys);
    if (first) span.first = first.data();
    return kernel::RelativeAttention<S>{options.heads, span, q, k, p, r.in()};
  };
  auto weights = ctx.empty(Shape<4>{batch, heads, time, key_time});
  if (weights.size() > 0) {
    const auto a = describe();
    long numbers = 0;
    kernel::relative_attention_forward_scratch(ctx.backend(), a, numbers);
    const Tensor<B, 1> scratch = ctx.empty(Shape<1>{numbers});
    kernel::relative_attention_forward(ctx.backend(), a, scratch.data(), weights.out());
  }
  return record(
      weights,
      [x, keys, r, weights, options, describe](Context<B>& c, const Tensor<B, 4>& dy) {
        if (weights.size() == 0) return;
        const auto a = describe();
        auto dx = c.sink(x);
        if (dx && keys && !dx.add) {  // nothing of the projection's own keys is written: they are in `keys`
          kernel::fill(c.backend(), dx.data, dx.size(), S(0));
          dx.add = true;
        }
        auto parts = gradient_of_parts(dx, options);
        if (keys) {
          const auto dkeys = c.sink(keys);
          parts[1] = {View<S, 3>(dkeys), dkeys.add};
        }
        long numbers = 0;
        kernel::relative_attention_backward_scratch(c.backend(), a, numbers);
        const Tensor<B, 1> scratch = c.empty(Shape<1>{numbers});
        kernel::relative_attention_backward(c.backend(), a, dy.in(), weights.in(), scratch.data(), parts[0], parts[1],
                                            parts[2], c.sink(r));
      },
      x, keys, r);
}

}  // namespace detail

/// Attention weights (N, H, T, T) of frames on themselves. `projection` (N, T, H·(2·query + position)) holds queries,
/// keys and positional queries, heads outermost within each; `relative` (2T - 1, H·position) holds one row per
/// distance, row j for key position minus query position = j - (T - 1). Padded keys get no weight; with
/// Padding::masked padded queries give none either, with Padding::reference a query that may see no key spreads its
/// weight evenly over all. Throws ShapeError if the channels or rows do not fit.
template <class B>
Var<B, 4> relative_attention_weights(const Sequence<B>& projection, const Var<B, 2>& relative,
                                     const RelativeAttentionOptions& options) {
  return detail::relative_attention<B>(projection, {}, relative, options);
}

/// Weights (N, H, T, S) of a chunk's T frames on S = L + T keys, of which the first L were before it; `relative`
/// (2T - 1 + L, H·position), row j for key position minus query position = j - (T + L - 1). The keys inside of
/// `projection` are not looked at: the caller has put them behind those of the past. Throws as above.
template <class B>
Var<B, 4> relative_attention_weights(const Sequence<B>& projection, const StreamedKeys<B>& keys,
                                     const Var<B, 2>& relative, const RelativeAttentionOptions& options) {
  return detail::relative_attention(projection, keys, relative, options);
}

}  // namespace phonaut
