#include "phonaut/ops/column_moments.hpp"

#include "reduce.cuh"

namespace phonaut::kernel {

void column_moments(const Cuda& cuda, View<const float, 2> x, RealRows rows, double* mean, double* variance) {
  long first = 0;
  while (first < rows.batch && rows.of(first) == 0) ++first;
  const double count = static_cast<double>(rows.total());
  if (first == rows.batch) {
    cuda::for_each(cuda, "column_moments", x.shape[1], [=] __device__(long c) { mean[c] = variance[c] = 0; });
    return;
  }
  const cuda::Brought<long> lengths(cuda, rows.lengths, rows.batch);
  rows.lengths = lengths.data();
  const float* origin = x.row(first * rows.each);
  cuda::reduce_columns<2>(
      cuda, "column_moments", x.shape[0], x.shape[1],
      [=] __device__(long r, long c) {
        if (rows.lengths && r % rows.each >= rows.of(r / rows.each)) return cuda::Sums<2>{{0, 0}};
        const double d = static_cast<double>(x.row(r)[c]) - static_cast<double>(origin[c]);
        return cuda::Sums<2>{{d, d * d}};
      },
      [=] __device__(long c, const cuda::Sums<2>& total) {
        const double shift = total.of[0] / count, spread = total.of[1] / count - shift * shift;
        mean[c] = static_cast<double>(origin[c]) + shift;
        variance[c] = spread > 0 ? spread : 0;
      });
}

}  // namespace phonaut::kernel
