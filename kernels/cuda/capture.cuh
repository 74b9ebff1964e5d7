#pragma once
// Work of the calling thread that is captured instead of done (core/cuda_graph.hpp), and what is refused meanwhile. All
// of it is checked before CUDA is asked, whose own refusals would spoil the capture and say less.
#include <vector>

#include "phonaut/core/backend.hpp"

namespace phonaut::cuda {

/// Memory that captured work may use although its owner has let go of it, until the graph goes.
struct Kept {
  void* memory = nullptr;
  void (*release)(void*) = nullptr;
};
struct Capture {
  void* stream = nullptr;             ///< the only one on which anything may be queued
  std::vector<Kept>* kept = nullptr;  ///< the graph's
};

/// What the calling thread captures; null for nothing.
Capture* current_capture() noexcept;

/// Whether memory of the GPU is kept until the graph goes, because the calling thread captures; otherwise it can be
/// released at once.
bool keep_in_capture(void* p) noexcept;

/// Throws StateError if the calling thread captures, with `why` as the reason.
void refuse_in_capture(const char* why);
/// Throws StateError if the calling thread captures and `cuda` is another stream than the captured one: `what` would
/// run now, and never again.
void check_captured(const Cuda& cuda, const char* what);

}  // namespace phonaut::cuda
