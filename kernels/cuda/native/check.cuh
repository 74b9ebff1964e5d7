#pragma once
// Statuses of the CUDA libraries as exceptions.
#include <cublas_v2.h>
#include <cuda_runtime.h>

#include "phonaut/core/backend.hpp"
#include "phonaut/core/error.hpp"

namespace phonaut::cuda {

inline void check(cudaError_t status, const char* what) {
  if (status != cudaSuccess)
    throw Error(concat("cuda: ", what, " failed: ", cudaGetErrorString(status), " (", static_cast<int>(status), ")"));
}
inline void check(cublasStatus_t status, const char* what) {
  if (status != CUBLAS_STATUS_SUCCESS) throw Error(concat("cuda: ", what, " failed: ", cublasGetStatusString(status)));
}

inline cudaStream_t stream_of(const Cuda& cuda) { return static_cast<cudaStream_t>(cuda.stream); }

}  // namespace phonaut::cuda
