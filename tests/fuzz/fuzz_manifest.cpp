// Any bytes as a manifest, table and list: refused, or rows with a path; splits of them keep speakers apart.
#include <cmath>

#include "fuzz.hpp"
#include "phonaut/io/manifest.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace phonaut;
  for (const bool is_table : {true, false})
    fuzz::untrusted([&] {
      auto rows = parse_manifest(fuzz::text(data, size), "fuzz", "/data", is_table);
      fuzz::require(!rows.empty(), "a manifest names a recording");
      for (const auto& row : rows) {
        fuzz::require(row.path.starts_with('/'), "paths are absolute");
        fuzz::require(std::isfinite(row.seconds) && row.seconds >= 0 && row.rate >= 0, "numbers are numbers");
      }
      recording_split(rows, {.train = 1, .valid = 0, .test = 0});
      speaker_disjoint_split(rows, {}, size);
      fuzz::require(is_speaker_disjoint(rows), "speakers stay apart");
    });
  return 0;
}
