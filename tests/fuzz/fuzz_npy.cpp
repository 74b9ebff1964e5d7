// Any bytes as a .npy file: refused, or as many elements as the shape says.
#include "fuzz.hpp"
#include "phonaut/io/npy.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace phonaut;
  const auto check = [&](const auto& array) {
    long elements = 1;
    for (const long extent : array.shape) elements *= extent;
    fuzz::require(elements == static_cast<long>(array.data.size()), "the shape agrees with the elements");
  };
  fuzz::untrusted([&] { check(read_npy<float>(fuzz::bytes(data, size), "fuzz")); });
  fuzz::untrusted([&] { check(read_npy<std::int64_t>(fuzz::bytes(data, size), "fuzz")); });
  return 0;
}
