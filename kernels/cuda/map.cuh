#pragma once
// PHONAUT_CUDA_MAP(F) defines the kernels of formula::F on Cuda, beside it, as ops/formula/kernels.hpp declared them.
#include "cuda.cuh"

#define PHONAUT_CUDA_MAP(F)                                                                                         \
  namespace phonaut::formula {                                                                                      \
  void map_forward(const Cuda& backend, F f, View<const float, 2> x, View<float, 2> y) {                            \
    const long width = x.shape[1];                                                                                  \
    cuda::for_each(backend, x.size(), [=] __device__(long i) {                                                      \
      y.data[i / width * y.stride[0] + i % width] = f.value(x.data[i / width * x.stride[0] + i % width]);           \
    });                                                                                                             \
  }                                                                                                                 \
  void map_backward(const Cuda& backend, F f, View<const float, 2> dy, View<const float, 2> x, Sink<float, 2> dx) { \
    const long width = x.shape[1];                                                                                  \
    cuda::for_each(backend, x.size(), [=] __device__(long i) {                                                      \
      const float g =                                                                                               \
          dy.data[i / width * dy.stride[0] + i % width] * f.slope(x.data[i / width * x.stride[0] + i % width]);     \
      dx.data[i] = dx.add ? dx.data[i] + g : g;                                                                     \
    });                                                                                                             \
  }                                                                                                                 \
  }
