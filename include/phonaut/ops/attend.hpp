#pragma once
// Weighted means of values, by attention weights that were computed before and may be used more than once.
#include "phonaut/core/sequence.hpp"
#include "phonaut/ops/shape.hpp"
#include "phonaut/ops/utterance_products.hpp"

namespace phonaut {

namespace kernel {

/// Sets the weights (N, H, T, S) of heads from `heads` on to 0.
template <class B, class S>
void clear_unused_heads(const B& backend, View<S, 4> weights, long heads) {
  const long unused = (weights.shape[1] - heads) * weights.stride[1];
  for (long n = 0; unused > 0 && n < weights.shape[0]; ++n)
    fill(backend, weights.data + n * weights.stride[0] + heads * weights.stride[1], unused, S(0));
}

/// y[n, t, h·D + d] = Σ_s weights[n, h, t, s] v[n, s, h·D + d] over the frames below the length, 0 beyond it.
template <class B, class S>
void attend_forward(const B& backend, View<const S, 4> weights, View<const S, 3> v, long heads, const long* lengths,
                    View<S, 3> y) {
  const long width = v.shape[2] / heads;
  utterance_products(backend, UtteranceProducts<S>{.first = {.m = weights.shape[2],
                                                             .n = width,
                                                             .k = weights.shape[3],
                                                             .a = weights.data,
                                                             .a_row = weights.stride[2],
                                                             .b = v.data,
                                                             .b_row = v.stride[1],
                                                             .b_col = 1,
                                                             .c = y.data,
                                                             .c_row = y.stride[1],
                                                             .batch = heads,
                                                             .a_batch = weights.stride[1],
                                                             .b_batch = width,
                                                             .c_batch = width},
                                                   .utterances = v.shape[0],
                                                   .a_step = weights.stride[0],
                                                   .b_step = v.stride[0],
                                                   .c_step = y.stride[0],
                                                   .lengths = lengths,
                                                   .limit_m = true,
                                                   .limit_k = true});
}
/// dweights = dy vᵀ and dv = weightsᵀ dy, head by head.
template <class B, class S>
void attend_backward(const B& backend, View<const S, 3> dy, View<const S, 4> weights, View<const S, 3> v, long heads,
                     const long* lengths, Sink<S, 4> dweights, Sink<S, 3> dv) {
  const long queries = weights.shape[2], keys = weights.shape[3], width = v.shape[2] / heads;
  if (dweights) {
    if (!dweights.add) clear_unused_heads(backend, View<S, 4>(dweights), heads);
    utterance_products(backend, UtteranceProducts<S>{.first = {.m = queries,
                                                               .n = keys,
                                                               .k = width,
                                                               .a = dy.data,
                                                               .a_row = dy.stride[1],
                                                               .b = v.data,
                                                               .b_row = 1,
                                                               .b_col = v.stride[1],
                                                               .c = dweights.data,
                                                               .c_row = dweights.stride[2],
                                                               .add = dweights.add,
                                                               .batch = heads,
                                                               .a_batch = width,
                                                               .b_batch = width,
                                                               .c_batch = dweights.stride[1]},
                                                     .utterances = v.shape[0],
                                                     .a_step = dy.stride[0],
                                                     .b_step = v.stride[0],
                                                     .c_step = dweights.stride[0],
                                                     .lengths = lengths,
                                                     .limit_m = true,
                                                     .limit_n = true});
  }
  if (dv)
    utterance_products(backend, UtteranceProducts<S>{.first = {.m = keys,
                                                               .n = width,
                                                               .k = queries,
                                                               .a = weights.data,
                                                               .a_row = 1,
                                                               .a_col = weights.stride[2],
                                                               .b = dy.data,
                                                               .b_row = dy.stride[1],
                                                               .b_col = 1,
                                                               .c = dv.data,
                                                               .c_row = dv.stride[1],
                                                               .add = dv.add,
                                                               .batch = heads,
                                                               .a_batch = weights.stride[1],
                                                               .b_batch = width,
                                                               .c_batch = width},
                                                     .utterances = v.shape[0],
                                                     .a_step = weights.stride[0],
                                                     .b_step = dy.stride[0],
                                                     .c_step = dv.stride[0],
                                                     .lengths = lengths,
                                                     .limit_m = true,
                                                     .limit_k = true});
}

}  // namespace kernel

/// Frames (N, T, C) of which head h takes its channels [h·C/heads, (h+1)·C/heads) from `values` (N, S, C), weighted by
/// `weights` (N, H, T, S). `heads` may be less than H: the first ones are used. With `lengths` (T == S) frames at and
/// beyond the length neither give nor get anything. Throws ShapeError if the shapes do not fit.
template <class B>
Var<B, 3> attend(const Var<B, 4>& any_weights, const Var<B, 3>& any_values, long heads, const Lengths& lengths = {}) {
  const Shape<4> w = any_weights.shape();
  const Shape<3> v = any_values.shape();
  if (heads < 1 || heads > w[1] || v[2] % heads != 0 || v[0] != w[0] || v[1] != w[3])
    throw ShapeError(concat("attend: weights ", text(w), " with ", heads, " heads do not fit values ", text(v)));
  if (lengths && (lengths.extent(0) != w[0] || w[2] != w[3]))
    throw ShapeError(concat("attend: ", lengths.extent(0), " lengths do not fit weights ", text(w)));
  const Var<B, 4> weights = packed(any_weights);
  const Var<B, 3> values = any_values;
  auto& ctx = values.context();
  auto y = ctx.empty(Shape<3>{w[0], w[2], v[2]});
  kernel::attend_forward(ctx.backend(), weights.in(), values.in(), heads, lengths ? lengths.data() : nullptr, y.out());
  return record(
      std::move(y),
      [weights, values, heads, lengths](Context<B>& c, const Tensor<B, 3>& dy) {
        kernel::attend_backward(c.backend(), dy.in(), weights.in(), values.in(), heads,
                                lengths ? lengths.data() : nullptr, c.sink(weights), c.sink(values));
      },
      weights, values);
}

}  // namespace phonaut
