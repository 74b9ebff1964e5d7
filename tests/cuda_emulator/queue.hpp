#pragma once
// How the emulator's own work, which no kernel does, takes its place among the launches of a stream.
#include <utility>

#include "capture.cuh"
#include "device_memory.hpp"
#include "stream.hpp"

namespace phonaut::cuda {

/// Does `step` with device memory open: now, or when the graph that is captured is launched.
template <class Step>
void queue(const Cuda& cuda, const char* what, Step step) {
  check_captured(cuda, what);
  auto run = [step = std::move(step)] {
    const emulator::DeviceAccess access;
    step();
  };
  if (emulator::Recording* recording = emulator::recording_of(cuda.stream))
    recording->steps.emplace_back(std::move(run));
  else run();
}

}  // namespace phonaut::cuda
