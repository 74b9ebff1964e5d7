#include "phonaut/ops/column_sum.hpp"

#include "elementwise.cuh"
#include "reduce.cuh"

namespace phonaut::kernel {

void column_sum(const Cuda& cuda, View<const float, 2> x, Sink<float, 1> y) {
  cuda::reduce_columns<1>(
      cuda, "column_sum", x.shape[0], x.shape[1],
      [=] __device__(long r, long c) { return cuda::Sums<1>{{static_cast<double>(x.row(r)[c])}}; },
      [=] __device__(long c, const cuda::Sums<1>& total) {
        cuda::put(y.data[c], static_cast<float>(total.of[0]), y.add);
      });
}

}  // namespace phonaut::kernel
