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

}  // namespace phonaut::emulator
