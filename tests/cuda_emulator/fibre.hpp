#pragma once
// Stacks that take turns on one thread of the host.
#include <cstddef>

namespace phonaut::emulator {

/// A stack of its own. It runs `entry(argument)`, which never returns: it switches away when it has nothing to do.
class Fibre {
 public:
  Fibre();
  Fibre(const Fibre&) = delete;
  Fibre& operator=(const Fibre&) = delete;
  ~Fibre();

  /// Forgets what was running; the next `enter` begins with entry(argument).
  void prepare(void (*entry)(void*), void* argument);
  /// Called outside: runs until the fibre calls `leave`.
  void enter();
  /// Called inside: back to who called `enter`.
  void leave();

 private:
  struct Machine;
  static void begin(void* fibre);

  Machine* machine_;
  void (*entry_)(void*) = nullptr;
  void* argument_ = nullptr;
};

}  // namespace phonaut::emulator
