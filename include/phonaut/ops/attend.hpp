#pragma once
// Weighted means of values, by attention weights that were computed before and may be used more than once.
#include "phonaut/core/sequence.hpp"
#include "phonaut/ops/shape.hpp"
#include "phonaut/ops/utterance_products.hpp"

namespace phonaut {

namespace kernel {

/// The first heads of weights (N, H, T, S).
template <class S>
View<S, 4> first_heads(View<S, 4> weights, long heads) {
  weights.shape[1] = heads;
  return weights;
}
/// Sets the weights (N, H, T, S) of heads from `heads` on to 0.
template <class B, class S>
void clear_unused_heads(const B& backend, View<S, 4> weights, long heads) {
  const long unused = (weights.shape[1] - heads) * weights.stride[1];
  for (long n = 0; unused > 0 && n < weights.shape[0]; ++n)
    fill(backend, weights.data + n * weights.stride[0] + heads * weights.stride[1], unused, S(0));
}
void clear_unused_heads(const Cuda& cuda, View<float, 4> weights, long heads);

/// y[n, t, h·D + d] = Σ_s weights[n, h, t, s] v[n, s, h·D + d] over the frames below the length, 0 beyond it.
template <class B, class S>
void attend_forward(const B& backend, View<const S, 4> weights, View<const S, 3> v, long heads, const long* lengths,
                    View<S, 3> y) {
  utterance_products(
      backend, scores_by_frames(Over::keys, first_heads(weights, heads), v, y).within(lengths, {.m = true, .k = true}));
}
/// dweights = dy vᵀ and dv = weightsᵀ dy, head by head.
template <class B, class S>
void attend_backward(const B& backend, View<const S, 3> dy, View<const S, 4> weights, View<const S, 3> v, long heads,
                     const long* lengths, Sink<S, 4> dweights, Sink<S, 3> dv) {
  if (dweights) {
    const View<S, 4> to(dweights);
    if (!dweights.add) clear_unused_heads(backend, to, heads);
    utterance_products(
        backend, frames_by_frames(dy, v, first_heads(to, heads), dweights.add).within(lengths, {.m = true, .n = true}));
  }
  if (dv)
    utterance_products(backend, scores_by_frames(Over::queries, first_heads(weights, heads), dy, View<S, 3>(dv), dv.add)
                                    .within(lengths, {.m = true, .k = true}));
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
