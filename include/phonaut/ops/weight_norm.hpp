#pragma once
// Weights as a direction and a length for each output channel. T. Salimans and D. Kingma, "Weight Normalization", 2016.
#include "phonaut/core/param.hpp"
#include "phonaut/ops/unit_rows.hpp"

namespace phonaut {

namespace kernel {

/// y[r] = gain[r] x[r].
template <class S>
void scale_rows(const Reference&, View<const S, 2> x, const S* gain, View<S, 2> y) {
  for (long r = 0; r < x.shape[0]; ++r)
    for (long c = 0; c < x.shape[1]; ++c) y.row(r)[c] = gain[r] * x.row(r)[c];
}
/// dgain[r] (= or +=) <dy[r], unit[r]>.
template <class S>
void row_products(const Reference&, View<const S, 2> dy, View<const S, 2> unit, Sink<S, 1> dgain) {
  using W = Wide<S>;
  for (long r = 0; r < dy.shape[0]; ++r) {
    W total = 0;
    for (long c = 0; c < dy.shape[1]; ++c) total += W(dy.row(r)[c]) * W(unit.row(r)[c]);
    dgain.put(r, S(total));
  }
}

void scale_rows(const Cuda& cuda, View<const float, 2> x, const float* gain, View<float, 2> y);
void row_products(const Cuda& cuda, View<const float, 2> dy, View<const float, 2> unit, Sink<float, 1> dgain);

}  // namespace kernel

/// gain[o] direction[o] / |direction[o]| for each output channel o, the outermost axis of `direction` (O, …); gain (O).
/// Throws ShapeError if there are not as many gains as channels.
template <class B, size_t R>
Var<B, R> weight_norm(const Var<B, R>& direction, const Var<B, 1>& gain) {
  using S = typename B::Scalar;
  if (gain.extent(0) != direction.extent(0))
    throw ShapeError(concat("weight_norm: the direction ", text(direction.shape()), " has ", direction.extent(0),
                            " output channels, but there are ", gain.extent(0), " gains"));
  const Var<B, R> v = packed(direction);
  auto& ctx = v.context();
  const long rows = v.extent(0), width = rows > 0 ? v.size() / rows : 0;
  const auto as_matrix = [=](auto view) { return decltype(as_rows(view))(view.data, {rows, width}); };
  auto y = ctx.empty(v.shape());
  const Tensor<B, 2> unit = ctx.empty(Shape<2>{rows, width});
  const Tensor<B, 1> inverse = ctx.empty(Shape<1>{rows});
  constexpr double least = 1e-12;
  kernel::unit_rows_forward(ctx.backend(), least, as_matrix(v.in()), unit.out(), inverse.data());
  kernel::scale_rows(ctx.backend(), unit.in(), static_cast<const S*>(gain.in().data), as_matrix(y.out()));
  return record(
      std::move(y),
      [=](Context<B>& c, const Tensor<B, R>& dy) {
        const View<const S, 2> rows_of_dy = as_matrix(dy.in());
        if (auto dgain = c.sink(gain)) kernel::row_products(c.backend(), rows_of_dy, unit.in(), dgain);
        const Sink<S, R> dv = c.sink(v);
        if (!dv) return;
        const Tensor<B, 2> dunit = c.empty(Shape<2>{rows, width});
        kernel::scale_rows(c.backend(), rows_of_dy, static_cast<const S*>(gain.in().data), dunit.out());
        kernel::unit_rows_backward(c.backend(), least, dunit.in(), unit.in(), static_cast<const S*>(inverse.data()),
                                   Sink<S, 2>(dv.data, {rows, width}, dv.add));
      },
      v, gain);
}

/// `weight` as it is where there is no gain, else normalised by it: for layers that may have one.
template <class B, size_t R>
Var<B, R> normed_weight(Context<B>& ctx, const Param<B, R>& weight, const Param<B, 1>& gain) {
  const Var<B, R> lifted = ctx.lift(weight);
  return gain ? weight_norm(lifted, ctx.lift(gain)) : lifted;
}

/// The gains with which a normalised weight is the weight itself: the lengths of its rows.
template <class B, size_t R>
Param<B, 1> gains_of(Context<B>& ctx, const Param<B, R>& weight) {
  using S = typename B::Scalar;
  auto gain = make_param(ctx, Shape<1>{weight.extent(0)}, Init::constant(0));
  const auto values = values_of(ctx, weight.tensor());
  std::vector<S> lengths;
  const size_t rows = static_cast<size_t>(weight.extent(0)), width = values.size() / std::max<size_t>(1, rows);
  for (size_t r = 0; r < rows; ++r) {
    double square = 0;
    for (size_t c = 0; c < width; ++c) square += std::pow(static_cast<double>(values[r * width + c]), 2);
    lengths.push_back(static_cast<S>(std::sqrt(square)));
  }
  assign(ctx.backend(), gain.tensor(), lengths);
  return gain;
}

}  // namespace phonaut
