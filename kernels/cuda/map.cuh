#pragma once
// PHONAUT_CUDA_MAP(F) defines the kernels of formula::F on Cuda, beside it, as ops/formula/kernels.hpp declared them.
#include "elementwise.cuh"

#define PHONAUT_CUDA_MAP(F)                                                                                      \
  namespace phonaut::formula {                                                                                   \
  void map_forward(const Cuda& cuda, F f, View<const float, 2> x, View<float, 2> y) {                            \
    cuda::map(                                                                                                   \
        cuda, #F, y, false, [=] __device__(float v) { return f.value(v); }, x);                                  \
  }                                                                                                              \
  void map_backward(const Cuda& cuda, F f, View<const float, 2> dy, View<const float, 2> x, Sink<float, 2> dx) { \
    if (!dx) return;                                                                                             \
    cuda::map(                                                                                                   \
        cuda, #F, dx, dx.add, [=] __device__(float g, float v) { return g * f.slope(v); }, dy, x);               \
  }                                                                                                              \
  }
