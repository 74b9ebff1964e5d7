#pragma once
// Hiding frames behind a learned vector: the input side of masked prediction.
#include "phonaut/core/param.hpp"
#include "phonaut/core/sequence.hpp"
#include "phonaut/ops/shape.hpp"

namespace phonaut {

namespace kernel {

/// y[r] = hidden[r] ? vector : x[r].
template <class S>
void replace_frames_forward(const Reference&, View<const S, 2> x, View<const S, 1> hidden, View<const S, 1> vector,
                            View<S, 2> y) {
  for (long r = 0; r < x.shape[0]; ++r)
    std::copy_n(hidden.data[r] != S(0) ? vector.data : x.row(r), x.shape[1], y.row(r));
}
/// dx[r] = hidden[r] ? 0 : dy[r];  dvector = Σ of the hidden rows of dy.
template <class S>
void replace_frames_backward(const Reference&, View<const S, 2> dy, View<const S, 1> hidden, Sink<S, 2> dx,
                             Sink<S, 1> dvector) {
  const long width = dy.shape[1];
  if (dvector && !dvector.add) std::fill_n(dvector.data, width, S(0));
  for (long r = 0; r < dy.shape[0]; ++r) {
    const bool gone = hidden.data[r] != S(0);
    for (long c = 0; dx && c < width; ++c) dx.put(r * width + c, gone ? S(0) : dy.row(r)[c]);
    for (long c = 0; dvector && gone && c < width; ++c) dvector.data[c] += dy.row(r)[c];
  }
}

void replace_frames_forward(const Cuda& cuda, View<const float, 2> x, View<const float, 1> hidden,
                            View<const float, 1> vector, View<float, 2> y);
void replace_frames_backward(const Cuda& cuda, View<const float, 2> dy, View<const float, 1> hidden, Sink<float, 2> dx,
                             Sink<float, 1> dvector);

}  // namespace kernel

/// x (N, T, C) with the frames that `hidden` (N · T, row-major, nonzero: hide) marks replaced by `vector` (C), as
/// wav2vec 2.0 (Baevski et al., 2020) and HuBERT hide spans behind a mask embedding. Throws ShapeError if they do not
/// fit.
template <class B, class Flags>
Var<B, 3> replace_frames(const Var<B, 3>& any, const Flags& hidden, Weight<B, 1> vector) {
  using S = typename B::Scalar;
  const long rows = any.extent(0) * any.extent(1);
  check_channels("replace_frames", any.shape(), vector.extent(0), "vector ", vector.shape());
  if (static_cast<long>(std::size(hidden)) != rows)
    throw ShapeError(concat("replace_frames: frames ", text(any.shape()), " are ", rows, ", but there are ",
                            std::size(hidden), " marks"));
  const Var<B, 3> x = rowwise(any);
  auto& ctx = x.context();
  const Var<B, 1> v = ctx.lift(vector), marks = input(ctx, Shape<1>{rows}, hidden);
  auto y = ctx.empty(x.shape());
  kernel::replace_frames_forward(ctx.backend(), as_rows(x.in()), marks.in(), v.in(), as_rows(y.out()));
  return record(
      std::move(y),
      [x, v, marks](Context<B>& c, const Tensor<B, 3>& dy) {
        kernel::replace_frames_backward(c.backend(), as_rows(dy.in()), View<const S, 1>(marks.in()), as_rows(c.sink(x)),
                                        c.sink(v));
      },
      x, v);
}

}  // namespace phonaut
