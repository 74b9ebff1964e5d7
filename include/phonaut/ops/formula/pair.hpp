#pragma once
#include "phonaut/core/backend.hpp"
#include "phonaut/core/view.hpp"

namespace phonaut::formula {

/// The two partial derivatives of a formula of two values.
template <class S>
struct Slopes {
  S x, y;
};

}  // namespace phonaut::formula

/// Right behind formula F of two values, in namespace phonaut::formula: declares that F has kernels of its own on Cpu
/// (one line in kernels/cpu/NAME.cpp) and on Cuda (one line in kernels/cuda/NAME.cu). A formula without this line still
/// runs on Cpu, by the loops of ops/pair.hpp.
#define PHONAUT_PAIR_KERNELS(F)   \
  PHONAUT_PAIR_KERNELS_ON(Cpu, F) \
  PHONAUT_PAIR_KERNELS_ON(Cuda, F)
#define PHONAUT_PAIR_KERNELS_ON(B, F)                                                                                 \
  void pair_sum(const B& backend, F f, double scale, View<const float, 2> x, View<const float, 2> y, float* out);     \
  void pair_columns(const B& backend, F f, double scale, View<const float, 2> x, View<const float, 2> y, float* out); \
  void pair_backward(const B& backend, F f, double scale, const float* gain, long step, View<const float, 2> x,       \
                     View<const float, 2> y, Sink<float, 2> dx, Sink<float, 2> dy);
