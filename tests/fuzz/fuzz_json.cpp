// Any bytes as JSON: refused, or the text that is written is read back as the same value.
#include "fuzz.hpp"
#include "phonaut/io/json_value.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace phonaut;
  fuzz::untrusted([&] {
    const auto value = JsonValue::parse(fuzz::text(data, size), "fuzz");
    const auto written = value.dump();
    fuzz::require(JsonValue::parse(written).dump() == written, "what is written is read");
    fuzz::require(JsonValue::parse(value.dump(2)).dump() == written, "indentation changes nothing");
  });
  return 0;
}
