#pragma once
// Statuses of the CUDA libraries as exceptions.
#include <cublasLt.h>
#include <cuda_runtime.h>
#include <cufft.h>

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

/// cuFFT has no words for its statuses. Those that only some versions know go by their number.
inline const char* text_of(cufftResult status) {
  switch (status) {
    case CUFFT_INVALID_PLAN:
      return "the plan is not valid";
    case CUFFT_ALLOC_FAILED:
      return "memory could not be had";
    case CUFFT_INVALID_TYPE:
    case CUFFT_INVALID_VALUE:
      return "an argument is not valid";
    case CUFFT_INTERNAL_ERROR:
      return "an error of the driver or of cuFFT itself";
    case CUFFT_EXEC_FAILED:
      return "the transform could not be run on the GPU";
    case CUFFT_SETUP_FAILED:
      return "the library could not be initialised";
    case CUFFT_INVALID_SIZE:
      return "cuFFT does not take this size";
    case CUFFT_UNALIGNED_DATA:
      return "the data are not aligned";
    case CUFFT_INVALID_DEVICE:
      return "the plan was made for another GPU";
    case CUFFT_NO_WORKSPACE:
      return "the plan has no work area";
    case CUFFT_NOT_IMPLEMENTED:
    case CUFFT_NOT_SUPPORTED:
      return "cuFFT has no such transform";
    default:
      return "cuFFT gives no reason";
  }
}
inline void check(cufftResult status, const char* what) {
  if (status != CUFFT_SUCCESS)
    throw Error(concat("cuda: ", what, " failed: ", text_of(status), " (", static_cast<int>(status), ")"));
}

inline cudaStream_t stream_of(const Cuda& cuda) { return static_cast<cudaStream_t>(cuda.stream); }

inline int current_device() {
  int device = 0;
  check(cudaGetDevice(&device), "cudaGetDevice");
  return device;
}

}  // namespace phonaut::cuda
