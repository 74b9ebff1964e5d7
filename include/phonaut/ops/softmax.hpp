#pragma once
// Softmax over the innermost axis, over all of it or over the keys that a batch really has.
#include "phonaut/core/math.hpp"
#include "phonaut/core/sequence.hpp"
#include "phonaut/ops/row_blocks.hpp"
#include "phonaut/ops/shape.hpp"
#include "phonaut/ops/wide.hpp"

namespace phonaut {

namespace kernel {

/// y = exp(x - max) / Σ exp(x - max), row by row, over the first row_length(…) entries; 0 beyond them.
template <class S>
void softmax_forward(const Reference&, View<const S, 2> x, const long* lengths, long rows_per_length, View<S, 2> y) {
  using math::exp;
  using math::max;
  using W = Wide<S>;
  const long width = x.shape[1];
  for (long r = 0; r < x.shape[0]; ++r) {
    const long n = row_length(lengths, rows_per_length, width, r);
    const S* from = x.row(r);
    S* to = y.row(r);
    W largest = n > 0 ? W(from[0]) : W(0), total = 0;
    for (long c = 1; c < n; ++c) largest = max(largest, W(from[c]));
    for (long c = 0; c < n; ++c) total += exp(W(from[c]) - largest);
    for (long c = 0; c < n; ++c) to[c] = S(exp(W(from[c]) - largest) / total);
    for (long c = n; c < width; ++c) to[c] = S(0);
  }
}
/// dx = y (dy - <dy, y>). y is 0 beyond the length, and so is dx.
template <class S>
void softmax_backward(const Reference&, View<const S, 2> dy, View<const S, 2> y, Sink<S, 2> dx) {
  using W = Wide<S>;
  for (long r = 0; r < y.shape[0]; ++r) {
    W dot = 0;
    for (long c = 0; c < y.shape[1]; ++c) dot += W(dy.row(r)[c]) * W(y.row(r)[c]);
    for (long c = 0; c < y.shape[1]; ++c) dx.put(r * y.shape[1] + c, S(W(y.row(r)[c]) * (W(dy.row(r)[c]) - dot)));
  }
}

void softmax_forward(const Cpu& cpu, View<const float, 2> x, const long* lengths, long rows_per_length,
                     View<float, 2> y);
void softmax_backward(const Cpu& cpu, View<const float, 2> dy, View<const float, 2> y, Sink<float, 2> dx);
void softmax_forward(const Cuda& cuda, View<const float, 2> x, const long* lengths, long rows_per_length,
                     View<float, 2> y);
void softmax_backward(const Cuda& cuda, View<const float, 2> dy, View<const float, 2> y, Sink<float, 2> dx);

}  // namespace kernel

namespace detail {

/// Throws ShapeError unless there is one length, of 0 … S, for each entry of the outermost axis.
template <size_t R>
void check_row_lengths(const char* op, const Lengths& lengths, const Shape<R>& shape) {
  if (R < 2 || lengths.extent(0) != shape[0])
    throw ShapeError(concat(op, ": input has shape ", text(shape), " but there are ", lengths.extent(0), " lengths"));
  for (long n = 0; n < lengths.extent(0); ++n)
    if (lengths.data()[n] < 0 || lengths.data()[n] > shape[R - 1])
      throw ShapeError(
          concat(op, ": length ", lengths.data()[n], " of entry ", n, " is outside of 0 … ", shape[R - 1]));
}

}  // namespace detail

/// y = softmax of x (…, S) over its innermost axis. With `lengths` (one for each entry of the outermost axis) only the
/// first so many entries of each row take part and the others become 0; a row of length 0 is all zeros. Throws
/// ShapeError for lengths that do not fit.
template <class B, size_t R>
Var<B, R> softmax(const Var<B, R>& any, const Lengths& lengths = {}) {
  static_assert(R >= 1);
  const Var<B, R> x = rowwise(any);
  auto& ctx = x.context();
  const View from = as_rows(x.in());
  long rows_per_length = 1;
  if (lengths) {
    detail::check_row_lengths("softmax", lengths, x.shape());
    rows_per_length = std::max(1L, from.shape[0] / std::max(1L, x.extent(0)));
  }
  auto y = ctx.empty(x.shape());
  kernel::softmax_forward(ctx.backend(), from, lengths ? lengths.data() : nullptr, rows_per_length, as_rows(y.out()));
  return record(
      y,
      [x = target(x), y](Context<B>& c, const Tensor<B, R>& dy) {
        if (auto dx = c.sink(x)) kernel::softmax_backward(c.backend(), as_rows(dy.in()), as_rows(y.in()), as_rows(dx));
      },
      x);
}

}  // namespace phonaut
