#pragma once
// Streams of the emulated GPU. What is queued runs at once, unless the stream is captured.
#include <functional>
#include <memory>
#include <vector>

namespace phonaut::emulator {

/// What was queued on a stream while it was captured.
struct Recording {
  std::vector<std::function<void()>> steps;
};

/// What a cudaStream_t points to.
struct Stream {
  std::unique_ptr<Recording> recording;
};

/// Of a stream that is captured; null for others, and for the default stream.
inline Recording* recording_of(void* stream) {
  return stream ? static_cast<Stream*>(stream)->recording.get() : nullptr;
}

/// Products that cuBLASLt has no algorithm for, on the GPU that is emulated.
enum class Unknown { none, with_epilogue, all };
void set_unknown_products(Unknown unknown);
/// Whether cuDNN has no engine for any convolution there.
void set_unknown_convolutions(bool unknown);
/// Products and convolutions that these did, of this thread.
long products();
long convolutions();
/// How often this thread has waited: to read back, or for a stream.
long waits();
/// Calls of Fourier transforms, of this thread.
long transforms();

}  // namespace phonaut::emulator
