#include "phonaut/training/formula/square_sum.hpp"

#include "cuda.cuh"

namespace phonaut::kernel {

namespace {

constexpr int kSquareThreads = 1024;

/// One block per stretch, fixed strides, a tree in double: the same bits on every run.
__global__ void square_sum_kernel(const float* x, long n, double* total) {
  __shared__ double part[kSquareThreads];
  double sum = 0;
  for (long i = threadIdx.x; i < n; i += kSquareThreads) sum += static_cast<double>(x[i]) * static_cast<double>(x[i]);
  part[threadIdx.x] = sum;
  __syncthreads();
  for (int half = kSquareThreads / 2; half > 0; half /= 2) {
    if (threadIdx.x < half) part[threadIdx.x] += part[threadIdx.x + half];
    __syncthreads();
  }
  if (threadIdx.x == 0) *total = part[0];
}

}  // namespace

void square_sums(const Cuda& cuda, View<const Stretch<float>, 1> stretches, double* totals) {
  for (long k = 0; k < stretches.size(); ++k)
    square_sum_kernel<<<1, kSquareThreads, 0, cuda::stream_of(cuda)>>>(stretches.data[k].data, stretches.data[k].n,
                                                                       totals + k);
  cuda::check(cudaGetLastError(), "a sum of squares");
}

}  // namespace phonaut::kernel
