#pragma once
// The JSON header of a safetensors file.
#include <cstddef>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "phonaut/io/safetensors.hpp"

namespace phonaut::detail {

struct SafetensorsHeader {
  std::vector<SafetensorsInfo> entries;  // `offset` counts from the end of the header
  std::map<std::string, std::string> metadata;
};

/// Parses the header of a file whose elements fill `data_bytes` bytes; the entries come back in the order of their
/// elements. Throws FormatError, starting with `path`, for everything that SafetensorsReader promises to refuse.
SafetensorsHeader parse_safetensors_header(std::string_view json, std::size_t data_bytes, const std::string& path);

}  // namespace phonaut::detail
