#pragma once
// Statuses of the CUDA libraries as exceptions.
#include <cublasLt.h>
#include <cuda_runtime.h>

#include "phonaut/core/backend.hpp"
#include "phonaut/core/error.hpp"

namespace phonaut::cuda {

inline void check(cudaError_t status, const char* what) {
  if (status != cudaSuccess)
    throw Error(concat("cuda: ", what, " failed: ", cudaGetErrorString(status), " (", static_cast<int>(status), ")"));
}
inline void check(cublasStatus_t status, const char* what) {
  if (status != CUBLAS_STATUS_SUCCESS)
    throw Error(concat("cuda: ", what, " failed: ", cublasLtGetStatusString(status)));
}

inline cudaStream_t stream_of(const Cuda& cuda) { return static_cast<cudaStream_t>(cuda.stream); }

inline int current_device() {
  int device = 0;
  check(cudaGetDevice(&device), "cudaGetDevice");
  return device;
}

}  // namespace phonaut::cuda
