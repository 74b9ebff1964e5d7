#pragma once
// What every CUDA kernel file needs: error checks that throw, and launches over a flat range.
#include <cublas_v2.h>
#include <cuda_runtime.h>

#include <algorithm>

#include "phonaut/core/backend.hpp"
#include "phonaut/core/error.hpp"
#include "phonaut/core/view.hpp"

namespace phonaut::cuda {

inline void check(cudaError_t status, const char* what) {
  if (status != cudaSuccess)
    throw Error(concat("cuda: ", what, " failed: ", cudaGetErrorString(status), " (", static_cast<int>(status), ")"));
}
inline void check(cublasStatus_t status, const char* what) {
  if (status != CUBLAS_STATUS_SUCCESS) throw Error(concat("cuda: ", what, " failed: ", cublasGetStatusString(status)));
}

inline cudaStream_t stream_of(const Cuda& cuda) { return static_cast<cudaStream_t>(cuda.stream); }

template <class F>
__global__ void for_each_kernel(long n, F f) {
  for (long i = static_cast<long>(blockIdx.x) * blockDim.x + threadIdx.x; i < n;
       i += static_cast<long>(gridDim.x) * blockDim.x)
    f(i);
}

/// Runs f(i) for i = 0 … n-1 on the stream of `cuda`; a grid-stride loop.
template <class F>
void for_each(const Cuda& cuda, long n, F f) {
  if (n <= 0) return;
  constexpr long threads = 256;
  const long blocks = std::min((n + threads - 1) / threads, 32L * 1024);
  for_each_kernel<<<static_cast<unsigned>(blocks), static_cast<unsigned>(threads), 0, stream_of(cuda)>>>(n, f);
  check(cudaGetLastError(), "a kernel launch");
}

}  // namespace phonaut::cuda
