#pragma once
// What the host does for the emulated GPU, in the order of a stream.
#include <utility>

#include "device_memory.hpp"
#include "kernels/cuda/capture.cuh"
#include "phonaut/core/backend.hpp"
#include "stream.hpp"

namespace phonaut::emulator {

/// Does `step` with device memory open: now, or when the graph that is captured is launched.
template <class Step>
void queue(const Cuda& cuda, const char* what, Step step) {
  cuda::check_captured(cuda, what);
  auto run = [step = std::move(step)] {
    const DeviceAccess access;
    step();
  };
  if (Recording* recording = recording_of(cuda.stream)) recording->steps.emplace_back(std::move(run));
  else run();
}

}  // namespace phonaut::emulator
