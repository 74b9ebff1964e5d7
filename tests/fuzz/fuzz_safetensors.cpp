// Any bytes as a safetensors file: refused, or all entries lie within it and can be read.
#include "fuzz.hpp"
#include "phonaut/io/safetensors.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace phonaut;
  fuzz::untrusted([&] {
    const SafetensorsReader reader(fuzz::bytes(data, size), "fuzz");
    std::size_t total = 0;
    for (const auto& entry : reader.entries()) {
      long elements = 1;
      for (const long extent : entry.shape) elements *= extent;
      fuzz::require(elements == entry.size(), "the shape agrees with the bytes");
      fuzz::require(reader.bytes(entry.name).size() == entry.bytes, "all bytes can be read");
      total += entry.bytes;
    }
    fuzz::require(total < size, "entries do not overlap");
    for (const auto& entry : reader.entries()) {
      fuzz::untrusted([&] { (void)reader.read<float>(entry.name); });
      fuzz::untrusted([&] { (void)reader.read<std::int32_t>(entry.name); });
      fuzz::untrusted([&] { (void)reader.info(entry.name + "x"); });
    }
  });
  return 0;
}
