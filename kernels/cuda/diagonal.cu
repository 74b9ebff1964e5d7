#include "phonaut/ops/diagonal.hpp"

#include "elementwise.cuh"

namespace phonaut::kernel {

void take_diagonal(const Cuda& cuda, View<const float, 2> x, float* y) {
  cuda::for_each(cuda, "take_diagonal", x.shape[0], [=] __device__(long i) { y[i] = x.row(i)[i]; });
}
void put_diagonal(const Cuda& cuda, const float* x, Sink<float, 2> y) {
  cuda::for_each_at(cuda, "put_diagonal", y.shape[0], y.shape[1],
                    [=] __device__(long r, long c) { cuda::put(y.row(r)[c], r == c ? x[r] : 0.f, y.add); });
}
void copy_off_diagonal(const Cuda& cuda, View<const float, 2> x, float value, Sink<float, 2> y) {
  cuda::for_each_at(cuda, "copy_off_diagonal", y.shape[0], y.shape[1], [=] __device__(long r, long c) {
    if (r != c) cuda::put(y.row(r)[c], x.row(r)[c], y.add);
    else if (!y.add) y.row(r)[c] = value;
  });
}

}  // namespace phonaut::kernel
