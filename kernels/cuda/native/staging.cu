// Copies from the host that nobody waits for. The GPU reads host memory while the program goes on only where that is
// pinned, so numbers pass through pinned pages of this thread, in a ring.
#include <algorithm>
#include <array>
#include <cstring>
#include <map>

#include "../capture.cuh"
#include "../runtime.cuh"
#include "check.cuh"

namespace phonaut::cuda {

namespace {

/// Pages of one thread for one device, taken in turn. A page is filled by copies of one stream, one behind the other,
/// and is free again when the last of them is done.
class Staging {
 public:
  Staging() = default;
  Staging(const Staging&) = delete;
  Staging& operator=(const Staging&) = delete;
  ~Staging() {
    for (const Page& page : pages_) {
      if (page.copied) {
        cudaEventSynchronize(page.copied);
        cudaEventDestroy(page.copied);
      }
      if (page.memory) cudaFreeHost(page.memory);
    }
  }

  void copy(cudaStream_t stream, char* device, const char* host, std::size_t bytes) {
    while (bytes > 0) {
      Page& page = page_for(stream);
      const std::size_t part = std::min(bytes, page_bytes - page.used);
      std::memcpy(page.memory + page.used, host, part);
      check(cudaMemcpyAsync(device, page.memory + page.used, part, cudaMemcpyHostToDevice, stream),
            "a copy to the device");
      // Now, for the stream may be gone when the page comes round again.
      check(cudaEventRecord(page.copied, stream), "an event");
      page.used = std::min(page_bytes, (page.used + part + between - 1) / between * between);
      device += part;
      host += part;
      bytes -= part;
    }
  }

 private:
  static constexpr std::size_t page_bytes = std::size_t{1} << 20, between = 256;
  struct Page {
    char* memory = nullptr;
    cudaEvent_t copied = nullptr;
    cudaStream_t stream = nullptr;
    std::size_t used = page_bytes;
  };

  /// One with room. Waits where all pages are still being copied.
  Page& page_for(cudaStream_t stream) {
    Page& last = pages_[at_];
    if (last.memory && last.stream == stream && last.used < page_bytes) return last;
    at_ = (at_ + 1) % pages_.size();
    Page& page = pages_[at_];
    if (!page.copied) check(cudaEventCreateWithFlags(&page.copied, cudaEventDisableTiming), "an event");
    if (!page.memory) {
      void* p = nullptr;
      check(cudaMallocHost(&p, page_bytes), "pinned memory");
      page.memory = static_cast<char*>(p);
    }
    check(cudaEventSynchronize(page.copied), "waiting for copies to the device");  // at once where none was made yet
    page.stream = stream;
    page.used = 0;
    return page;
  }

  std::array<Page, 8> pages_{};
  std::size_t at_ = 0;
};

/// While it lives, calls that a capture of this thread would forbid, and that do it no harm, are allowed.
class Allowed {
 public:
  Allowed() { cudaThreadExchangeStreamCaptureMode(&mode_); }
  Allowed(const Allowed&) = delete;
  Allowed& operator=(const Allowed&) = delete;
  ~Allowed() { cudaThreadExchangeStreamCaptureMode(&mode_); }

 private:
  cudaStreamCaptureMode mode_ = cudaStreamCaptureModeRelaxed;
};

/// The graph reads the numbers at each launch, so it has a copy of its own.
void capture_copy(const Cuda& cuda, Capture& capture, void* device, const void* host, std::size_t bytes) {
  capture.kept->reserve(capture.kept->size() + 1);
  void* own = nullptr;
  {
    const Allowed allowed;
    check(cudaMallocHost(&own, bytes), "pinned memory");
  }
  capture.kept->push_back({own, [](void* p) { cudaFreeHost(p); }});
  std::memcpy(own, host, bytes);
  check(cudaMemcpyAsync(device, own, bytes, cudaMemcpyHostToDevice, stream_of(cuda)), "a copy to the device");
}

}  // namespace

void bring_in(const Cuda& cuda, void* device, const void* host, std::size_t bytes) {
  check_captured(cuda, "a copy to the device");
  if (Capture* capture = current_capture()) {
    capture_copy(cuda, *capture, device, host, bytes);
    return;
  }
  thread_local std::map<int, Staging> staging;
  staging[current_device()].copy(stream_of(cuda), static_cast<char*>(device), static_cast<const char*>(host), bytes);
}

}  // namespace phonaut::cuda
