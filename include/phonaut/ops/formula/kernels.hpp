#pragma once
#include "phonaut/core/backend.hpp"
#include "phonaut/core/view.hpp"

/// Right behind formula F, in its namespace: declares that F has kernels of its own on Cpu (one line in
/// kernels/cpu/NAME.cpp) and on Cuda (one line in kernels/cuda/NAME.cu). A formula without this line still runs on Cpu,
/// by the reference loop. The kernels stand beside F, so that map() finds them through its argument.
#define PHONAUT_MAP_KERNELS(F)                                                                                \
  void map_forward(const Cpu& cpu, F f, View<const float, 2> x, View<float, 2> y);                            \
  void map_backward(const Cpu& cpu, F f, View<const float, 2> dy, View<const float, 2> x, Sink<float, 2> dx); \
  void map_forward(const Cuda& cuda, F f, View<const float, 2> x, View<float, 2> y);                          \
  void map_backward(const Cuda& cuda, F f, View<const float, 2> dy, View<const float, 2> x, Sink<float, 2> dx);
