#pragma once
// What tests ask of the libraries of the emulated GPU, and tell them.

namespace phonaut::emulator {

/// Products that cuBLASLt has no algorithm for.
enum class Unknown { none, with_epilogue, all };

struct Libraries {
  Unknown unknown_products = Unknown::none;
  bool unknown_convolutions = false;                    ///< whether cuDNN has no engine for any
  long products = 0, convolutions = 0, transforms = 0;  ///< calls that were served
  long waits = 0;                                       ///< to read back, or for a stream
};
/// Of the calling thread.
inline Libraries& libraries() {
  thread_local Libraries of_thread;
  return of_thread;
}

}  // namespace phonaut::emulator
