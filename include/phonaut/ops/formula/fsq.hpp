#pragma once
// The levels of finite scalar quantization. Light: the per-instruction-set kernel files include it.
#include "phonaut/core/view.hpp"

namespace phonaut {

/// Levels of each channel with the constants of its bound: b = tanh(z + shift) half - offset, and the code is
/// round(b) / ⌊L/2⌋. Plain data; quantizers/fsq.hpp fills it in.
struct FsqGrid {
  static constexpr long most_channels = 32, most_edges = 64;
  long channels = 0;
  long count[most_channels] = {};
  double half[most_channels] = {}, shift[most_channels] = {}, offset[most_channels] = {};
  /// Where z passes from one level to the next, channel after channel: what tanh and rounding come to. None where there
  /// are more than most_edges.
  bool has_edges = false;
  float edge[most_edges] = {};

  PHONAUT_HD PHONAUT_INLINE long width(long c) const { return count[c] / 2; }
  /// The level 0 … L - 1 of a bounded number: rounded, half to even, as published code does. NaN is the lowest.
  PHONAUT_HD PHONAUT_INLINE long level(long c, double bounded) const {
#ifdef __CUDACC__
    const double rounded = ::nearbyint(bounded);
#else
    const double rounded = __builtin_nearbyint(bounded);
#endif
    if (!(rounded > -static_cast<double>(width(c)))) return 0;
    const long found = static_cast<long>(rounded) + width(c);
    return found >= count[c] ? count[c] - 1 : found;
  }
};

}  // namespace phonaut
