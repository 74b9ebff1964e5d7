#pragma once
// How the filters of a 2-D depthwise convolution lie. Light: per-instruction-set kernel files include it.
#include "phonaut/core/view.hpp"

namespace phonaut::kernel {

/// Filters of kernel_time x kernel_frequency taps (odd), centred in frequency. Frame t of the result sees frames
/// t - before … of the image; frames outside of 0 … T-1, or at and beyond the length, count as zeros.
struct DepthwiseImage {
  long kernel_time = 1, kernel_frequency = 1, before = 0;
  const long* lengths = nullptr;

  PHONAUT_HD PHONAUT_INLINE long frames(long n, long time) const {
    return lengths && lengths[n] < time ? lengths[n] : time;
  }
};

}  // namespace phonaut::kernel
