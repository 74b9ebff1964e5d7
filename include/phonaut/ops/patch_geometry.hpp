#pragma once
// Where the patches of a 2-D convolution lie. Light: per-instruction-set kernel files include it.
#include "phonaut/core/view.hpp"

namespace phonaut {

/// A pair of numbers, one for time and one for frequency.
struct TimeFrequency {
  long time = 1, frequency = 1;
};

namespace kernel {

struct PatchGeometry {
  TimeFrequency kernel, stride, padding;
  long frequencies = 0;  ///< of the result
  long dilation = 1;     ///< frames between taps

  /// Frames that a place of the result sees, from first to last.
  PHONAUT_HD PHONAUT_INLINE long span() const { return (kernel.time - 1) * dilation + 1; }
  /// Of an image of `time` frames, the first that frame t of the result sees, and the one behind the last.
  PHONAUT_HD PHONAUT_INLINE long first_seen(long t) const {
    const long from = t * stride.time - padding.time;
    return from > 0 ? from : 0;
  }
  PHONAUT_HD PHONAUT_INLINE long end_seen(long t, long time) const {
    const long to = t * stride.time - padding.time + span();
    return to < time ? to : time;
  }
  PHONAUT_HD PHONAUT_INLINE long width(long channels) const { return kernel.time * kernel.frequency * channels; }
};

}  // namespace kernel
}  // namespace phonaut
