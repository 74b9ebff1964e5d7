#pragma once
// The rotation trick: the gradient of a quantized vector is turned and scaled back to the vector it came from, where
// straight-through would pass it on unturned. C. Fifty et al., "Restructuring Vector Quantization with the Rotation
// Trick", 2025.
#include "phonaut/core/math.hpp"
#include "phonaut/ops/shape.hpp"
#include "phonaut/ops/wide.hpp"

namespace phonaut {

namespace kernel {

/// With u = e/|e|, v = q/|q|, r = (u + v)/|u + v| and λ = |q|/|e|, all constants, out = λ (e - 2<r, e> r + 2<u, e> v)
/// is q, and de = λ (dy - 2<r, dy> r + 2<v, dy> u). Norms are at least 1e-6; for u = -v, where r is undefined, the
/// rotation is left out: de = λ dy.
template <class S>
void rotate_back(const Reference&, View<const S, 2> dy, View<const S, 2> e, View<const S, 2> q, Sink<S, 2> de) {
  using math::sqrt;
  using W = Wide<S>;
  const long width = e.shape[1];
  for (long n = 0; n < e.shape[0]; ++n) {
    W ee = 0, qq = 0, ss = 0;
    for (long d = 0; d < width; ++d) {
      ee += W(e.row(n)[d]) * W(e.row(n)[d]);
      qq += W(q.row(n)[d]) * W(q.row(n)[d]);
    }
    const W least = W(1e-6);
    const W norm_e = ee > least * least ? W(sqrt(ee)) : least, norm_q = qq > least * least ? W(sqrt(qq)) : least;
    const auto u = [&](long d) { return W(e.row(n)[d]) / norm_e; };
    const auto v = [&](long d) { return W(q.row(n)[d]) / norm_q; };
    W along_r = 0, along_v = 0;
    for (long d = 0; d < width; ++d) {
      ss += (u(d) + v(d)) * (u(d) + v(d));
      along_r += (u(d) + v(d)) * W(dy.row(n)[d]);
      along_v += v(d) * W(dy.row(n)[d]);
    }
    const bool opposite = !(ss > least * least);
    const W lambda = norm_q / norm_e;
    for (long d = 0; d < width; ++d) {
      W g = W(dy.row(n)[d]);
      if (!opposite) g += W(2) * along_v * u(d) - W(2) * along_r / ss * (u(d) + v(d));
      de.put(n * width + d, S(lambda * g));
    }
  }
}

void rotate_back(const Cuda& cuda, View<const float, 2> dy, View<const float, 2> e, View<const float, 2> q,
                 Sink<float, 2> de);

}  // namespace kernel

/// q in value (it shares q's memory), with a gradient for e that is rotated by the angle between them and scaled by
/// |q|/|e|: e, q (rows, D). Throws ShapeError if the shapes differ.
template <class B>
Var<B, 2> rotate_to(const Var<B, 2>& any_e, const Tensor<B, 2>& q) {
  check_same_shape("rotate_to", "e", any_e.shape(), "q", q.shape());
  const Var<B, 2> e = rowwise(any_e);
  return record(
      q,
      [e, q](Context<B>& ctx, const Tensor<B, 2>& dy) {
        if (auto de = ctx.sink(e)) kernel::rotate_back(ctx.backend(), dy.in(), e.in(), q.in(), de);
      },
      e);
}

}  // namespace phonaut
