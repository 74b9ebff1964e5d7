#pragma once
// What the fuzz targets share: bytes in, and the promise that nothing but phonaut::Error comes out.
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string_view>
#include <vector>

#include "phonaut/core/error.hpp"

namespace phonaut::fuzz {

/// Runs `call` on untrusted input. Any exception that is no phonaut::Error ends the fuzzer, as a crash does.
template <class F>
void untrusted(F&& call) {
  try {
    call();
  } catch (const Error& error) {
    // A message is one line that can be printed.
    for (const char* c = error.what(); *c; ++c)
      if (*c == '\n' || *c == '\x1b') std::abort();
  }
}

inline void require(bool truth, const char* what) {
  if (truth) return;
  std::fprintf(stderr, "broken: %s\n", what);
  std::abort();
}

inline std::vector<std::byte> bytes(const std::uint8_t* data, std::size_t size) {
  const auto* begin = reinterpret_cast<const std::byte*>(data);
  return {begin, begin + size};
}

inline std::string_view text(const std::uint8_t* data, std::size_t size) {
  return {reinterpret_cast<const char*>(data), size};
}

}  // namespace phonaut::fuzz
