#pragma once
// Mean and variance of each channel over the real frames of a batch.
#include "phonaut/core/sequence.hpp"
#include "phonaut/ops/real_rows.hpp"
#include "phonaut/ops/shape.hpp"
#include "phonaut/ops/wide.hpp"

namespace phonaut {

namespace kernel {

/// mean[c] and variance[c] (divided by the number of rows) over the real rows of x; 0 of no rows. Sums run over the
/// distance from the first real row, so that a mean far from 0 does not drown the variance.
template <class S>
void column_moments(const Reference&, View<const S, 2> x, RealRows rows, Wide<S>* mean, Wide<S>* variance) {
  using W = Wide<S>;
  long first = 0;
  while (first < rows.batch && rows.of(first) == 0) ++first;
  const double count = static_cast<double>(rows.total());
  for (long c = 0; c < x.shape[1]; ++c) {
    mean[c] = variance[c] = W(0);
    if (first == rows.batch) continue;
    const W origin = W(x.row(first * rows.each)[c]);
    W sum = 0, square = 0;
    for (long n = 0; n < rows.batch; ++n)
      for (long r = n * rows.each; r < n * rows.each + rows.of(n); ++r) {
        const W d = W(x.row(r)[c]) - origin;
        sum += d;
        square += d * d;
      }
    const W shift = sum / W(count), spread = square / W(count) - shift * shift;
    mean[c] = origin + shift;
    variance[c] = spread > W(0) ? spread : W(0);
  }
}
void column_moments(const Cpu& cpu, View<const float, 2> x, RealRows rows, double* mean, double* variance);
void column_moments(const Cuda& cuda, View<const float, 2> x, RealRows rows, double* mean, double* variance);

}  // namespace kernel

namespace detail {

/// The rows of x (N, T, …, C) that lie below the lengths; all of them without lengths, or where there are no frames to
/// count (rank 2).
template <size_t R>
kernel::RealRows real_rows(const Shape<R>& shape, const Lengths& lengths) {
  kernel::RealRows rows{R > 1 ? shape[0] : 1, 1, 1, R > 2 && lengths ? lengths.data() : nullptr};
  for (size_t i = 1; i + 1 < R; ++i) rows.each *= shape[i];
  for (size_t i = 2; i + 1 < R; ++i) rows.per_step *= shape[i];
  return rows;
}

/// Columns [first, first + count) of a matrix.
template <class T>
View<T, 2> columns_of(View<T, 2> x, long first, long count) {
  advance(x, 1, first);
  x.shape[1] = count;
  return x;
}

/// Throws ShapeError unless x has the channels first … first + count - 1; count < 0 means all behind `first`. Returns
/// the count.
template <size_t R>
long check_channel_range(const char* op, const Shape<R>& shape, long first, long count) {
  if (count < 0) count = shape[R - 1] - first;
  if (first < 0 || count < 0 || first + count > shape[R - 1])
    throw ShapeError(concat(op, ": channels ", first, " … ", first + count, " do not exist in shape ", text(shape)));
  return count;
}

}  // namespace detail
}  // namespace phonaut
