#pragma once
#include <cstdint>

#include "phonaut/core/view.hpp"

namespace phonaut::formula {

/// Slopes between -0.08 and 0.925, which are those of SwooshL and SwooshR, in one byte. Which of its two neighbours a
/// slope becomes is drawn by chance, so that it is right on the average.
struct ByteSlope {
  static constexpr double low = -0.08, high = 0.925;

  /// `u` is uniform in [0, 1).
  template <class S>
  static PHONAUT_HD PHONAUT_INLINE std::uint8_t encode(S slope, S u) {
    return static_cast<std::uint8_t>(static_cast<long>((slope - S(low)) * S(255 / (high - low)) + u));
  }
  template <class S>
  static PHONAUT_HD PHONAUT_INLINE S decode(std::uint8_t byte) {
    return S(static_cast<double>(byte)) * S((high - low) / 255) + S(low);
  }
};

}  // namespace phonaut::formula
