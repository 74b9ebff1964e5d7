#pragma once
// Ctrl-C as a wish that the training loop can look at.
#include <memory>

namespace phonaut {

/// While it lives, SIGINT (Ctrl-C) and SIGTERM set a flag instead of ending the program, so that a loop can write a
/// checkpoint and leave. Each of them does so once: a second Ctrl-C ends the program as usual. The handlers that were
/// there before come back with its destruction. A program has one at a time, made on its main thread; a second one
/// throws StateError.
class StopSignals {
 public:
  StopSignals();
  ~StopSignals();
  StopSignals(const StopSignals&) = delete;
  StopSignals& operator=(const StopSignals&) = delete;

  /// Whether the program was asked to stop.
  explicit operator bool() const noexcept { return signal() != 0; }
  /// Which signal arrived first (SIGINT or SIGTERM); 0 if none. An exit status of 128 + signal says so to a shell.
  int signal() const noexcept;

 private:
  struct Saved;
  std::unique_ptr<Saved> saved_;
};

}  // namespace phonaut
