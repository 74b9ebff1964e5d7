// Any bytes as a pair encoding: refused, or one whose tokens are units again.
#include <cstdint>

#include "fuzz.hpp"
#include "phonaut/io/unit_bpe.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace phonaut;
  fuzz::untrusted([&] {
    const UnitBpe bpe = parse_unit_bpe(fuzz::text(data, size), "fuzz");
    if (bpe.tokens() == 0) return;
    const long last = bpe.tokens() - 1, length = bpe.length(last);
    if (length > 4096) return;  // decoding it is right, but takes the fuzzer's time
    const auto units = bpe.decode(std::span(&last, 1));
    fuzz::require(static_cast<long>(units.size()) == length, "a token has its length");
    fuzz::require(bpe.decode(bpe.encode(units)) == units, "units come back");
  });
  return 0;
}
