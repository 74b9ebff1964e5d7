#include "phonaut/ops/arithmetic.hpp"

#include "elementwise.cuh"
#include "phonaut/ops/scale_by.hpp"
#include "reduce.cuh"

namespace phonaut::kernel {

void axpby(const Cuda& cuda, float a, View<const float, 1> x, float b, View<const float, 1> z, float* y, bool add) {
  cuda::map_flat(
      cuda, "axpby", y, x.size(), add, [=] __device__(float u, float v) { return a * u + b * v; }, x.data, z.data);
}
void scale(const Cuda& cuda, float a, View<const float, 1> x, float* y, bool add) {
  cuda::map_flat(
      cuda, "scale", y, x.size(), add, [=] __device__(float u) { return a * u; }, x.data);
}
void scale_by(const Cuda& cuda, const float* a, View<const float, 1> x, float* y, bool add) {
  cuda::map_flat(
      cuda, "scale_by", y, x.size(), add, [=] __device__(float u) { return *a * u; }, x.data);
}
void multiply(const Cuda& cuda, View<const float, 1> x, View<const float, 1> z, float* y, bool add) {
  cuda::map_flat(
      cuda, "multiply", y, x.size(), add, [=] __device__(float u, float v) { return u * v; }, x.data, z.data);
}
void spread(const Cuda& cuda, float a, const float* x, long n, float* y, bool add) {
  cuda::map_flat(cuda, "spread", y, n, add, [=] __device__() { return a * *x; });
}
void sum(const Cuda& cuda, View<const float, 1> x, float* y) {
  const float* from = x.data;
  cuda::reduce<1>(
      cuda, "sum", x.size(), [=] __device__(long i) { return cuda::Sums<1>{{static_cast<double>(from[i])}}; },
      [=] __device__(const cuda::Sums<1>& total) { *y = static_cast<float>(total.of[0]); });
}

}  // namespace phonaut::kernel
