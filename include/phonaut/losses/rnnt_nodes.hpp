#pragma once
// Which nodes of a transducer's lattice a joiner was asked about. Light: the kernels of all instruction sets use it.
#include <cstdint>

#include "phonaut/core/view.hpp"

namespace phonaut::kernel {

/// `width` nodes of each frame, from first[n · time + t] on; from 0 on where `starts` is null.
struct NodeWindow {
  const std::int32_t* starts;
  long time, width;

  PHONAUT_HD PHONAUT_INLINE long first(long n, long t) const { return starts ? starts[n * time + t] : 0; }
  /// How many of them an utterance of so many labels has.
  PHONAUT_HD PHONAUT_INLINE long count(long first, long labels) const {
    const long left = labels + 1 - first;
    return left < 0 ? 0 : left < width ? left : width;
  }
};

}  // namespace phonaut::kernel
