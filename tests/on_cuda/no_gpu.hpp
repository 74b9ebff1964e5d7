#pragma once
// What a test on CUDA says where it cannot run.
#include "catch.hpp"
#include "phonaut/core/backend.hpp"

namespace phonaut::testing {

/// Whether there is none; then the test says so, in words that CTest takes for "skipped", and returns.
inline bool no_gpu() {
  if (cuda_available()) return false;
  WARN("no GPU here: this was compiled and linked, not run");
  return true;
}

}  // namespace phonaut::testing
