#pragma once
// Weighted means of values, by attention weights that were computed before and may be used more than once.
#include "phonaut/core/sequence.hpp"
#include "phonaut/ops/gemm.hpp"
#include "phonaut/ops/shape.hpp"

namespace phonaut {

namespace kernel {

/// Sets weights[n, h, t, s] = 0 wherever h >= heads, or t or s is not below the length of n.
template <class S>
void clear_unused_weights(const Reference&, View<S, 4> weights, long heads, const long* lengths) {
  const long queries = weights.shape[2], keys = weights.shape[3];
  for (long n = 0; n < weights.shape[0]; ++n)
    for (long h = 0; h < weights.shape[1]; ++h) {
      const long used = h < heads ? (lengths ? std::min(lengths[n], queries) : queries) : 0;
      const long seen = lengths ? std::min(lengths[n], keys) : keys;
      for (long t = 0; seen < keys && t < used; ++t) std::fill_n(&weights(n, h, t, 0) + seen, keys - seen, S(0));
      if (used < queries) std::fill_n(&weights(n, h, used, 0), (queries - used) * keys, S(0));
    }
}
void clear_unused_weights(const Cpu& cpu, View<float, 4> weights, long heads, const long* lengths);
void clear_unused_weights(const Cuda& cuda, View<float, 4> weights, long heads, const long* lengths);

/// y[n, t, h·D + d] = Σ_s weights[n, h, t, s] v[n, s, h·D + d] over the frames below the length, 0 beyond it.
template <class B, class S>
void attend_forward(const B& backend, View<const S, 4> weights, View<const S, 3> v, long heads, const long* lengths,
                    View<S, 3> y) {
  const long queries = weights.shape[2], keys = weights.shape[3], width = v.shape[2] / heads;
  for (long n = 0; n < v.shape[0]; ++n) {
    const long m = lengths ? lengths[n] : queries, k = lengths ? lengths[n] : keys;
    if (m > 0)
      gemm(backend, Gemm<S>{.m = m,
                            .n = width,
                            .k = k,
                            .a = weights.data + n * weights.stride[0],
                            .a_row = weights.stride[2],
                            .b = v.data + n * v.stride[0],
                            .b_row = v.stride[1],
                            .c = y.data + n * y.stride[0],
                            .c_row = y.stride[1],
                            .batch = heads,
                            .a_batch = weights.stride[1],
                            .b_batch = width,
                            .c_batch = width});
    if (m < queries) fill(backend, y.data + n * y.stride[0] + m * y.stride[1], (queries - m) * y.stride[1], S(0));
  }
}
/// dweights = dy vᵀ and dv = weightsᵀ dy, head by head.
template <class B, class S>
void attend_backward(const B& backend, View<const S, 3> dy, View<const S, 4> weights, View<const S, 3> v, long heads,
                     const long* lengths, Sink<S, 4> dweights, Sink<S, 3> dv) {
  const long queries = weights.shape[2], keys = weights.shape[3], width = v.shape[2] / heads;
  if (dweights && !dweights.add) clear_unused_weights(backend, View<S, 4>(dweights), heads, lengths);
  for (long n = 0; n < v.shape[0]; ++n) {
    const long m = lengths ? lengths[n] : queries, k = lengths ? lengths[n] : keys;
    if (dweights && m > 0)
      gemm(backend, Gemm<S>{.m = m,
                            .n = k,
                            .k = width,
                            .a = dy.data + n * dy.stride[0],
                            .a_row = dy.stride[1],
                            .b = v.data + n * v.stride[0],
                            .b_row = 1,
                            .b_col = v.stride[1],
                            .c = dweights.data + n * dweights.stride[0],
                            .c_row = dweights.stride[2],
                            .add = dweights.add,
                            .batch = heads,
                            .a_batch = width,
                            .b_batch = width,
                            .c_batch = dweights.stride[1]});
    if (!dv) continue;
    if (m > 0)
      gemm(backend, Gemm<S>{.m = k,
                            .n = width,
                            .k = m,
                            .a = weights.data + n * weights.stride[0],
                            .a_row = 1,
                            .a_col = weights.stride[2],
                            .b = dy.data + n * dy.stride[0],
                            .b_row = dy.stride[1],
                            .c = dv.data + n * dv.stride[0],
                            .c_row = dv.stride[1],
                            .add = dv.add,
                            .batch = heads,
                            .a_batch = weights.stride[1],
                            .b_batch = width,
                            .c_batch = width});
    if (k < keys && !dv.add)
      fill(backend, dv.data + n * dv.stride[0] + k * dv.stride[1], (keys - k) * dv.stride[1], S(0));
  }
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
