// What kernels/cuda/native does with the CUDA runtime, done by the host on the emulator's memory.
#include <cstring>
#include <memory>
#include <vector>

#include "capture.cuh"
#include "device_memory.hpp"
#include "libraries.hpp"
#include "phonaut/core/backend.hpp"
#include "phonaut/core/cuda_stream.hpp"
#include "phonaut/core/error.hpp"
#include "plans.cuh"
#include "queue.hpp"
#include "runtime.cuh"
#include "stream.hpp"

namespace phonaut {

int cuda_devices() noexcept { return 1; }
void select_cuda_device(int index) {
  if (index != 0) throw ConfigError(concat("cuda: device ", index, " was asked for, but there are 1"));
}
void* CudaMemory::allocate(std::size_t bytes) {
  cuda::refuse_in_capture("memory is asked of the GPU, which the first run did not need");
  return emulator::allocate_device(bytes);
}
void CudaMemory::release(void* p) noexcept {
  if (!cuda::keep_in_capture(p)) emulator::release_device(p);
}

CudaStream::CudaStream() : stream_(new emulator::Stream) {}
CudaStream::~CudaStream() { delete static_cast<emulator::Stream*>(stream_); }
void CudaStream::wait() const { cuda::wait_for(backend()); }
void CudaStream::follow(const Cuda&) const {
  cuda::refuse_in_capture("a stream is told to follow another, which a launch would not do");
}

namespace cuda {

using emulator::queue;

// A captured allocation is part of the graph, and so is its end: nobody else gets the memory while the graph lives.
void* take_scratch(const Cuda& cuda, std::size_t bytes) {
  check_captured(cuda, "memory of a kernel");
  void* p = emulator::allocate_device(bytes);
  if (Capture* capture = current_capture()) capture->kept->push_back({p, emulator::release_device});
  return p;
}
void give_scratch(const Cuda&, void* p) noexcept {
  if (!current_capture()) emulator::release_device(p);
}
void bring_in(const Cuda& cuda, void* device, const void* host, std::size_t bytes) {
  const auto* from = static_cast<const char*>(host);
  queue(cuda, "a copy to the device",
        [device, copy = std::vector<char>(from, from + bytes)] { std::memcpy(device, copy.data(), copy.size()); });
}
void copy_out(const Cuda&, void* host, const void* device, std::size_t bytes) {
  refuse_in_capture("numbers are read back, but nothing is computed before a launch");
  ++emulator::libraries().waits;
  const emulator::DeviceAccess access;
  std::memcpy(host, device, bytes);
}
void copy_within(const Cuda& cuda, void* to, const void* from, std::size_t bytes) {
  queue(cuda, "a copy on the device", [=] { std::memmove(to, from, bytes); });
}
void wait_for_device() {}
void wait_for(const Cuda&) {
  refuse_in_capture("the stream is waited for, but nothing is queued before a launch");
  ++emulator::libraries().waits;
}

void* begin_capture() { return new emulator::Stream{std::make_unique<emulator::Recording>()}; }
void* end_capture(void* stream) {
  const std::unique_ptr<emulator::Stream> ended(static_cast<emulator::Stream*>(stream));
  return ended->recording.release();
}
void abandon_capture(void* stream) noexcept { delete static_cast<emulator::Stream*>(stream); }
void launch_graph(const Cuda&, void* graph) {
  for (const auto& step : static_cast<emulator::Recording*>(graph)->steps) step();
}
void destroy_graph(const Cuda&, void* graph) noexcept { delete static_cast<emulator::Recording*>(graph); }

}  // namespace cuda
}  // namespace phonaut
