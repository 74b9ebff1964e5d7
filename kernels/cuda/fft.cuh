#pragma once
// The transforms of ops/fft.hpp by a whole block: the same butterflies, shared among its threads. All of them must
// come.
#include "device.cuh"
#include "phonaut/ops/fft.hpp"

namespace phonaut::cuda {

using spectral::FftStage;
using spectral::FftTables;

template <bool Inverse>
__device__ __forceinline__ void fft_pass(const FftStage<float>& stage, float* from, float* to) {
  const spectral::Points<float, Inverse> x{from}, y{to};
  const long span = stage.span, jump = span * stage.groups;
  for (long i = threadIdx.x; i < jump; i += blockDim.x) {
    const long k = i / span, s = i - k * span, in = s + stage.radix * span * k;
    const float* w = s > 0 ? stage.twiddle + 2 * (stage.radix - 1) * s : nullptr;
    switch (stage.radix) {
      case 2:
        spectral::butterfly2(x, in, y, i, span, jump, w);
        break;
      case 3:
        spectral::butterfly3(x, in, y, i, span, jump, w);
        break;
      case 4:
        spectral::butterfly4(x, in, y, i, span, jump, w);
        break;
      case 5:
        spectral::butterfly5(x, in, y, i, span, jump, w);
        break;
      default:
        spectral::butterfly_any(x, in, y, i, span, jump, w, stage);
    }
  }
  __syncthreads();
}

template <bool Inverse>
__device__ __forceinline__ float* complex_fft(const FftTables<float>& fft, float* a, float* b) {
  for (int i = 0; i < fft.stages; ++i) {
    fft_pass<Inverse>(fft.stage[i], a, b);
    float* const result = b;
    b = a;
    a = result;
  }
  return a;
}

/// As spectral::rfft. What stands in `a` must be visible to all threads.
__device__ __forceinline__ float* rfft(const FftTables<float>& fft, float* a, float* b) {
  if (fft.size % 2 != 0) {
    for (long i = threadIdx.x; i < fft.size; i += blockDim.x) {
      b[2 * i] = a[i];
      b[2 * i + 1] = 0;
    }
    __syncthreads();
    return complex_fft<false>(fft, b, a);
  }
  float* const z = complex_fft<false>(fft, a, b);
  for (long k = threadIdx.x; k <= fft.points - k; k += blockDim.x) spectral::split_pair(fft, z, k);
  __syncthreads();
  return z;
}

/// As spectral::irfft.
__device__ __forceinline__ float* irfft(const FftTables<float>& fft, float* a, float* b) {
  if (fft.size % 2 != 0) {
    for (long k = threadIdx.x; 2 * k < fft.size; k += blockDim.x) {
      if (k == 0) a[1] = 0;
      if (k == 0) continue;
      a[2 * (fft.size - k)] = a[2 * k];
      a[2 * (fft.size - k) + 1] = -a[2 * k + 1];
    }
    __syncthreads();
    float* const x = complex_fft<true>(fft, a, b);
    float* const real = x == a ? b : a;
    for (long i = threadIdx.x; i < fft.size; i += blockDim.x) real[i] = x[2 * i];
    __syncthreads();
    return real;
  }
  for (long k = threadIdx.x; k <= fft.points - k; k += blockDim.x) spectral::join_pair(fft, a, k);
  __syncthreads();
  return complex_fft<true>(fft, a, b);
}

}  // namespace phonaut::cuda
