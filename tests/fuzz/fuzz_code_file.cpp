// Any bytes as a file of codes: refused, or as many codes as it says, all of them in range.
#include <cstdint>

#include "fuzz.hpp"
#include "phonaut/io/code_file.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace phonaut;
  // The fuzzer cannot guess a checksum: where the size is even, the right one takes the
  // place of the last four bytes.
  auto bytes = fuzz::bytes(data, size);
  if (size > 36 && size % 2 == 0) {
    const std::uint32_t right = crc32(bytes.data(), size - 4);
    for (std::size_t i = 0; i < 4; ++i) bytes[size - 4 + i] = std::byte(right >> (8 * i) & 0xFF);
  }
  fuzz::untrusted([&] {
    const CodeFile file = parse_code_file(bytes, "fuzz");
    fuzz::require(static_cast<std::int64_t>(file.codes.size()) == file.frames() * file.levels, "all codes are there");
    for (const std::int32_t code : file.codes) fuzz::require(code >= 0 && code < file.entries, "codes are in range");
  });
  return 0;
}
