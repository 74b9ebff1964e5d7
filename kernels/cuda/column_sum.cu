#include "phonaut/ops/column_sum.hpp"

#include "cuda.cuh"

namespace phonaut::kernel {

void column_sum(const Cuda& backend, View<const float, 2> x, Sink<float, 1> y) {
  // One thread per column walks down the rows: neighbouring threads read neighbouring floats, in a fixed order.
  cuda::for_each(backend, x.shape[1], [=] __device__(long c) {
    double total = 0;
    for (long r = 0; r < x.shape[0]; ++r) total += x.data[r * x.stride[0] + c];
    y.data[c] = y.add ? y.data[c] + static_cast<float>(total) : static_cast<float>(total);
  });
}

}  // namespace phonaut::kernel
