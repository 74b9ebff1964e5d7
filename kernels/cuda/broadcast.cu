#include "phonaut/ops/broadcast.hpp"

#include "elementwise.cuh"
#include "reduce.cuh"

namespace phonaut::kernel {

void add_columns(const Cuda& cuda, View<const float, 2> x, const float* b, View<float, 2> y) {
  cuda::for_each_at(cuda, "add_columns", x.shape[0], x.shape[1],
                    [=] __device__(long r, long c) { y.row(r)[c] = x.row(r)[c] + b[c]; });
}
void scale_columns(const Cuda& cuda, View<const float, 2> x, const float* g, Sink<float, 2> y) {
  cuda::for_each_at(cuda, "scale_columns", x.shape[0], x.shape[1],
                    [=] __device__(long r, long c) { cuda::put(y.row(r)[c], x.row(r)[c] * g[c], y.add); });
}
void column_dot(const Cuda& cuda, View<const float, 2> x, View<const float, 2> z, Sink<float, 1> y) {
  cuda::reduce_columns<1>(
      cuda, "column_dot", x.shape[0], x.shape[1],
      [=] __device__(long r, long c) {
        return cuda::Sums<1>{{static_cast<double>(x.row(r)[c]) * static_cast<double>(z.row(r)[c])}};
      },
      [=] __device__(long c, const cuda::Sums<1>& total) {
        cuda::put(y.data[c], static_cast<float>(total.of[0]), y.add);
      });
}

}  // namespace phonaut::kernel
