#include "phonaut/training/formula/product_sum.hpp"

#include "cuda.cuh"

namespace phonaut::kernel {

namespace {

constexpr int kProductThreads = 1024;

/// One block per pair, fixed strides, trees in double: the same bits on every run.
__global__ void product_sum_kernel(StretchPair<float> pair, ProductSums* total) {
  __shared__ ProductSums part[kProductThreads];
  ProductSums sum{};
  for (long i = threadIdx.x; i < pair.n; i += kProductThreads) {
    const double x = static_cast<double>(pair.x[i]), z = static_cast<double>(pair.z[i]);
    sum.xx += x * x;
    sum.xz += x * z;
    sum.zz += z * z;
  }
  part[threadIdx.x] = sum;
  __syncthreads();
  for (int half = kProductThreads / 2; half > 0; half /= 2) {
    if (threadIdx.x < half) {
      part[threadIdx.x].xx += part[threadIdx.x + half].xx;
      part[threadIdx.x].xz += part[threadIdx.x + half].xz;
      part[threadIdx.x].zz += part[threadIdx.x + half].zz;
    }
    __syncthreads();
  }
  if (threadIdx.x == 0) *total = part[0];
}

}  // namespace

void product_sums(const Cuda& cuda, View<const StretchPair<float>, 1> pairs, ProductSums* totals) {
  for (long k = 0; k < pairs.size(); ++k)
    product_sum_kernel<<<1, kProductThreads, 0, cuda::stream_of(cuda)>>>(pairs.data[k], totals + k);
  cuda::check(cudaGetLastError(), "a sum of products");
}

}  // namespace phonaut::kernel
