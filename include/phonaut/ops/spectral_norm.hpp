#pragma once
// Weights divided by their largest singular value, so that a layer lengthens no vector. T. Miyato et al., "Spectral
// Normalization for Generative Adversarial Networks", 2018.
#include "phonaut/core/math.hpp"
#include "phonaut/ops/shape.hpp"
#include "phonaut/ops/wide.hpp"

namespace phonaut {

namespace kernel {

/// `rounds` times u = W v / |W v|, then v = Wᵀ u / |Wᵀ u|: both turn to the singular vectors of the largest value. A
/// length below 1e-12 counts as that. `wide` (columns) is scratch.
template <class S>
void power_iteration(const Reference&, View<const S, 2> w, long rounds, View<S, 1> u, View<S, 1> v, Wide<S>* wide) {
  using math::max;
  using math::sqrt;
  using W = Wide<S>;
  const auto inverse_length = [](W square) { return W(1) / max(sqrt(square), W(1e-12)); };
  const long rows = w.shape[0], columns = w.shape[1];
  for (long round = 0; round < rounds; ++round) {
    W square(0);
    for (long r = 0; r < rows; ++r) {
      W total(0);
      for (long c = 0; c < columns; ++c) total += W(w.row(r)[c]) * W(v.data[c]);
      square += total * total;
      u.data[r] = S(total);
    }
    const W by = inverse_length(square);
    for (long r = 0; r < rows; ++r) u.data[r] = S(W(u.data[r]) * by);
    for (long c = 0; c < columns; ++c) wide[c] = W(0);
    for (long r = 0; r < rows; ++r)
      for (long c = 0; c < columns; ++c) wide[c] += W(w.row(r)[c]) * W(u.data[r]);
    square = W(0);
    for (long c = 0; c < columns; ++c) square += wide[c] * wide[c];
    for (long c = 0; c < columns; ++c) v.data[c] = S(wide[c] * inverse_length(square));
  }
}

/// σ = uᵀ W v, y = W / σ.
template <class S>
void spectral_norm_forward(const Reference&, View<const S, 2> w, View<const S, 1> u, View<const S, 1> v, View<S, 2> y,
                           S* sigma) {
  using W = Wide<S>;
  W total(0);
  for (long r = 0; r < w.shape[0]; ++r) {
    W along(0);
    for (long c = 0; c < w.shape[1]; ++c) along += W(w.row(r)[c]) * W(v.data[c]);
    total += W(u.data[r]) * along;
  }
  *sigma = S(total);
  const W by = W(1) / total;
  for (long r = 0; r < w.shape[0]; ++r)
    for (long c = 0; c < w.shape[1]; ++c) y.row(r)[c] = S(W(w.row(r)[c]) * by);
}
/// With y = W / σ and dσ/dW = u vᵀ:  dW = (dy - <dy, y> u vᵀ) / σ.
template <class S>
void spectral_norm_backward(const Reference&, View<const S, 2> dy, View<const S, 2> y, View<const S, 1> u,
                            View<const S, 1> v, const S* sigma, Sink<S, 2> dw) {
  using W = Wide<S>;
  W along(0);
  for (long r = 0; r < y.shape[0]; ++r)
    for (long c = 0; c < y.shape[1]; ++c) along += W(dy.row(r)[c]) * W(y.row(r)[c]);
  const W by = W(1) / W(*sigma);
  for (long r = 0; r < y.shape[0]; ++r) {
    const W share = along * W(u.data[r]);
    for (long c = 0; c < y.shape[1]; ++c) dw.put(r * y.shape[1] + c, S((W(dy.row(r)[c]) - share * W(v.data[c])) * by));
  }
}

void power_iteration(const Cuda& cuda, View<const float, 2> w, long rounds, View<float, 1> u, View<float, 1> v,
                     double* wide);
void spectral_norm_forward(const Cuda& cuda, View<const float, 2> w, View<const float, 1> u, View<const float, 1> v,
                           View<float, 2> y, float* sigma);
void spectral_norm_backward(const Cuda& cuda, View<const float, 2> dy, View<const float, 2> y, View<const float, 1> u,
                            View<const float, 1> v, const float* sigma, Sink<float, 2> dw);

}  // namespace kernel

/// weight / (uᵀ W v), W being `weight` (O, …) as a matrix of O rows. u (O) and v (the rest) are constants: near the
/// singular vectors of W's largest singular value, they make it 1. Throws ShapeError if they do not fit.
template <class B, size_t R>
requires(R >= 2) Var<B, R> spectral_norm(const Var<B, R>& weight, const Tensor<B, 1>& u, const Tensor<B, 1>& v) {
  using S = typename B::Scalar;
  const long rows = weight.extent(0), width = rows > 0 ? weight.size() / rows : 0;
  if (u.extent(0) != rows || v.extent(0) != width)
    throw ShapeError(concat("spectral_norm: a weight ", text(weight.shape()), " needs vectors of ", rows, " and ",
                            width, " numbers, got ", u.extent(0), " and ", v.extent(0)));
  const Var<B, R> w = packed(weight);
  auto& ctx = w.context();
  const auto as_matrix = [=](auto view) { return decltype(as_rows(view))(view.data, {rows, width}); };
  auto y = ctx.empty(w.shape());
  const Tensor<B, 1> sigma = ctx.empty(Shape<1>{1});
  kernel::spectral_norm_forward(ctx.backend(), as_matrix(w.in()), u.in(), v.in(), as_matrix(y.out()), sigma.data());
  return record(
      y,
      [=](Context<B>& c, const Tensor<B, R>& dy) {
        if (const Sink<S, R> dw = c.sink(w))
          kernel::spectral_norm_backward(c.backend(), as_matrix(dy.in()), as_matrix(y.in()), u.in(), v.in(),
                                         static_cast<const S*>(sigma.data()),
                                         Sink<S, 2>(dw.data, {rows, width}, dw.add));
      },
      w);
}

}  // namespace phonaut
