#include "phonaut/ops/arithmetic.hpp"

#include "cuda.cuh"

namespace phonaut::kernel {

void axpby(const Cuda& backend, float a, View<const float, 1> x, float b, View<const float, 1> z, float* y, bool add) {
  const float *xs = x.data, *zs = z.data;
  cuda::for_each(backend, x.size(), [=] __device__(long i) {
    const float v = a * xs[i] + b * zs[i];
    y[i] = add ? y[i] + v : v;
  });
}
void scale(const Cuda& backend, float a, View<const float, 1> x, float* y, bool add) {
  const float* xs = x.data;
  cuda::for_each(backend, x.size(), [=] __device__(long i) { y[i] = add ? y[i] + a * xs[i] : a * xs[i]; });
}
void multiply(const Cuda& backend, View<const float, 1> x, View<const float, 1> z, float* y, bool add) {
  const float *xs = x.data, *zs = z.data;
  cuda::for_each(backend, x.size(), [=] __device__(long i) { y[i] = add ? y[i] + xs[i] * zs[i] : xs[i] * zs[i]; });
}
void spread(const Cuda& backend, float a, const float* x, long n, float* y, bool add) {
  cuda::for_each(backend, n, [=] __device__(long i) { y[i] = add ? y[i] + a * *x : a * *x; });
}

namespace {

constexpr int kSumThreads = 256;

/// One block, fixed strides, a tree over the block in double: the same bits on every run.
__global__ void sum_kernel(const float* x, long n, float* y) {
  __shared__ double part[kSumThreads];
  double total = 0;
  for (long i = threadIdx.x; i < n; i += kSumThreads) total += x[i];
  part[threadIdx.x] = total;
  __syncthreads();
  for (int half = kSumThreads / 2; half > 0; half /= 2) {
    if (threadIdx.x < half) part[threadIdx.x] += part[threadIdx.x + half];
    __syncthreads();
  }
  if (threadIdx.x == 0) *y = static_cast<float>(part[0]);
}

}  // namespace

void sum(const Cuda& backend, View<const float, 1> x, float* y) {
  sum_kernel<<<1, kSumThreads, 0, cuda::stream_of(backend)>>>(x.data, x.size(), y);
  cuda::check(cudaGetLastError(), "sum");
}

}  // namespace phonaut::kernel
