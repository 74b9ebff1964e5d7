#pragma once
// Queues of work for a GPU; needs phonaut::cuda (docs/cuda.md).
#include <utility>

#include "phonaut/core/backend.hpp"

namespace phonaut {

/// A queue of its own on the GPU that the calling thread has selected. What one stream is given runs in order; several
/// streams run beside each other. A context computes on the stream of its backend:
///
///     const CudaStream stream;
///     Context<Cuda> ctx(stream.backend(Precision::tf32));
///
/// The stream must outlive the contexts and graphs that use it. Between streams there is no order, so a tensor or a
/// weight that one of them has written may be used on another once that has been waited for, by the host (`wait`) or
/// by the other stream (`follow`); and a tensor of one context that another one reads must be held until then. Weights
/// are there for every stream when the layer has been made or loaded. The default stream (a null `Cuda::stream`) waits
/// for all streams of its GPU and they for it: what has no context, such as reading and writing checkpoints, goes
/// there.
class CudaStream {
 public:
  /// Throws Error if CUDA refuses, as it does without a GPU.
  CudaStream();
  CudaStream(CudaStream&& other) noexcept : stream_(std::exchange(other.stream_, nullptr)) {}
  CudaStream& operator=(CudaStream&& other) noexcept {
    std::swap(stream_, other.stream_);
    return *this;
  }
  CudaStream(const CudaStream&) = delete;
  CudaStream& operator=(const CudaStream&) = delete;
  /// Waits for what is queued.
  ~CudaStream();

  Cuda backend(Precision precision = Precision::fp32) const { return {stream_, precision}; }

  /// Returns when everything that is queued is done. Throws Error if some of it failed, StateError while the calling
  /// thread captures a CudaGraph.
  void wait() const;
  /// What is queued from now on begins when everything that is queued on `other` by now is done; the host does not
  /// wait. Throws Error if CUDA refuses, StateError while the calling thread captures a CudaGraph.
  void follow(const Cuda& other) const;

 private:
  void* stream_ = nullptr;  ///< a cudaStream_t
};

}  // namespace phonaut
