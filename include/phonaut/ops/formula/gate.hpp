#pragma once
#include "phonaut/core/backend.hpp"
#include "phonaut/core/math.hpp"

namespace phonaut {

/// Which of the equal parts of a frame's channels is the value, and which one the gate.
struct PartGate {
  long parts = 2;
  long value = 0;
  long gate = 1;
};

}  // namespace phonaut

/// Right behind a gate F, in its namespace: declares that F has kernels of its own on Cpu (one line in
/// kernels/cpu/gated_part.cpp). A gate without this line still runs on Cpu, by the loops of ops/gated_part.hpp.
#define PHONAUT_GATE_KERNELS(F)                                                                                 \
  void gated_part_forward(const Cpu& cpu, F f, PartGate part, View<const float, 3> x, const long* lengths,      \
                          View<float, 3> y);                                                                    \
  void gated_part_backward(const Cpu& cpu, F f, PartGate part, View<const float, 3> dy, View<const float, 3> x, \
                           const long* lengths, Sink<float, 3> dx);

namespace phonaut::formula {

/// Gates know their slope from their value, which saves backward a second exponential.
struct SigmoidGate {
  template <class S>
  PHONAUT_HD PHONAUT_INLINE S value(S x) const {
    return sigmoid(x);
  }
  template <class S>
  PHONAUT_HD PHONAUT_INLINE S slope_from_value(S y) const {
    return y * (S(1) - y);
  }
};
PHONAUT_GATE_KERNELS(SigmoidGate)

struct TanhGate {
  template <class S>
  PHONAUT_HD PHONAUT_INLINE S value(S x) const {
    return tanh(x);
  }
  template <class S>
  PHONAUT_HD PHONAUT_INLINE S slope_from_value(S y) const {
    return S(1) - y * y;
  }
};
PHONAUT_GATE_KERNELS(TanhGate)

}  // namespace phonaut::formula
