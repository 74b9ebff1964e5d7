#pragma once
#include "phonaut/core/backend.hpp"
#include "phonaut/core/view.hpp"

/// Right behind formula F, in its namespace: declares that F has kernels of its own on Cpu (one line in
/// kernels/cpu/NAME.cpp) and on Cuda (one line in kernels/cuda/NAME.cu). A formula without this line still runs on Cpu,
/// by the reference loop; PHONAUT_MAP_KERNELS_ON(Cuda, F) alone leaves it at that. The kernels stand beside F, so that
/// map() finds them through its argument.
#define PHONAUT_MAP_KERNELS(F)   \
  PHONAUT_MAP_KERNELS_ON(Cpu, F) \
  PHONAUT_MAP_KERNELS_ON(Cuda, F)
#define PHONAUT_MAP_KERNELS_ON(B, F)                                                 \
  void map_forward(const B& backend, F f, View<const float, 2> x, View<float, 2> y); \
  void map_backward(const B& backend, F f, View<const float, 2> dy, View<const float, 2> x, Sink<float, 2> dx);
