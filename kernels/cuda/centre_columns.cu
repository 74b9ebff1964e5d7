#include "phonaut/ops/centre_columns.hpp"

#include "elementwise.cuh"
#include "reduce.cuh"

namespace phonaut::kernel {

void column_mean(const Cuda& cuda, View<const float, 2> x, float* mean) {
  const double count = static_cast<double>(std::max(1L, x.shape[0]));
  cuda::reduce_columns<1>(
      cuda, "column_mean", x.shape[0], x.shape[1],
      [=] __device__(long r, long c) { return cuda::Sums<1>{{static_cast<double>(x.row(r)[c])}}; },
      [=] __device__(long c, const cuda::Sums<1>& total) { mean[c] = static_cast<float>(total.of[0] / count); });
}
void column_spread(const Cuda& cuda, float a, const float* x, Sink<float, 2> y) {
  cuda::for_each_at(cuda, "column_spread", y.shape[0], y.shape[1],
                    [=] __device__(long r, long c) { cuda::put(y.row(r)[c], a * x[c], y.add); });
}
void subtract_columns(const Cuda& cuda, View<const float, 2> x, const float* mean, Sink<float, 2> y) {
  cuda::for_each_at(cuda, "subtract_columns", y.shape[0], y.shape[1],
                    [=] __device__(long r, long c) { cuda::put(y.row(r)[c], x.row(r)[c] - mean[c], y.add); });
}

}  // namespace phonaut::kernel
