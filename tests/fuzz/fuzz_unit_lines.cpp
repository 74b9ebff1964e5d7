// Any bytes as lines of units: refused, or numbers that a reader may index with.
#include <cstdint>
#include <limits>

#include "fuzz.hpp"
#include "phonaut/io/unit_lines.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace phonaut;
  for (const UnitFormat format : {UnitFormat::km, UnitFormat::gslm, UnitFormat::jsonl})
    fuzz::untrusted([&] {
      for (const UnitLine& line : parse_units(fuzz::text(data, size), "fuzz", format)) {
        fuzz::require(line.name.empty() == (format == UnitFormat::km), "lines have names where they must");
        fuzz::require(line.durations.empty() || line.durations.size() == line.units.size(), "all units last");
        for (const auto* numbers : {&line.units, &line.durations})
          for (const long number : *numbers)
            fuzz::require(number >= 0 && number <= std::numeric_limits<std::int32_t>::max(), "units are units");
      }
    });
  return 0;
}
