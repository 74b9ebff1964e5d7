#include "phonaut/ops/weight_norm.hpp"

#include "elementwise.cuh"
#include "reduce.cuh"

namespace phonaut::kernel {

void scale_rows(const Cuda& cuda, View<const float, 2> x, const float* gain, View<float, 2> y) {
  cuda::for_each_at(cuda, "scale_rows", x.shape[0], x.shape[1],
                    [=] __device__(long r, long c) { y.row(r)[c] = gain[r] * x.row(r)[c]; });
}
void row_products(const Cuda& cuda, View<const float, 2> dy, View<const float, 2> unit, Sink<float, 1> dgain) {
  const long width = dy.shape[1];
  cuda::for_each_row(cuda, "row_products", dy.shape[0], width, [=] __device__(const cuda::Team& team, long r) {
    double total = 0;
    for (long c = team.rank; c < width; c += team.size)
      total += static_cast<double>(dy.row(r)[c]) * static_cast<double>(unit.row(r)[c]);
    total = team.sum(total);
    if (team.rank == 0) cuda::put(dgain.data[r], static_cast<float>(total), dgain.add);
  });
}

}  // namespace phonaut::kernel
