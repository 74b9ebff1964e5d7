#include "phonaut/ops/at_labels.hpp"

#include "elementwise.cuh"

namespace phonaut::kernel {

void take_at(const Cuda& cuda, View<const float, 2> x, const std::int32_t* at, float* y) {
  cuda::for_each(cuda, "take_at", x.shape[0], [=] __device__(long r) { y[r] = at[r] < 0 ? 0.f : x.row(r)[at[r]]; });
}
void put_at(const Cuda& cuda, View<const float, 2> x, const std::int32_t* at, const float* values, Sink<float, 2> y) {
  cuda::for_each_at(cuda, "put_at", x.shape[0], x.shape[1], [=] __device__(long r, long c) {
    cuda::put(y.row(r)[c], c != at[r] ? x.row(r)[c] : values ? values[r] : 0.f, y.add);
  });
}
void add_at(const Cuda& cuda, const float* dy, const std::int32_t* at, View<float, 2> dx) {
  cuda::for_each(cuda, "add_at", dx.shape[0], [=] __device__(long r) {
    if (at[r] >= 0) dx.row(r)[at[r]] += dy[r];
  });
}

}  // namespace phonaut::kernel
