#pragma once
// Handlers by the name of their op. A file of handlers registers them by static objects; nothing lists the files.
#include <map>
#include <string>

#include "golden.hpp"

namespace phonaut::golden {

/// What the runner calls, one function per backend; null where the op does not run on it.
struct Handler {
  void (*cpu)(Golden<Cpu>&) = nullptr;
  void (*reference)(Golden<Reference>&) = nullptr;
  void (*reference64)(Golden<Reference64>&) = nullptr;
#ifdef PHONAUT_GOLDEN_CUDA
  void (*cuda)(Golden<Cuda>&) = nullptr;
#endif
};

inline std::map<std::string, Handler>& handlers() {
  static std::map<std::string, Handler> all;
  return all;
}

/// Says that all ops of a handler have CUDA kernels too.
struct WithCuda {};

/// `static const Register name("group.op", [](auto& g) { ... });`: the lambda captures nothing.
struct Register {
  template <class F>
  Register(const std::string& op, F) {
    Handler& h = handlers()[op];
    h.cpu = [](Golden<Cpu>& g) { F{}(g); };
    h.reference = [](Golden<Reference>& g) { F{}(g); };
    h.reference64 = [](Golden<Reference64>& g) { F{}(g); };
  }
  template <class F>
  Register(const std::string& op, F f, WithCuda) : Register(op, f) {
#ifdef PHONAUT_GOLDEN_CUDA
    handlers()[op].cuda = [](Golden<Cuda>& g) { F{}(g); };
#endif
  }
};

}  // namespace phonaut::golden
