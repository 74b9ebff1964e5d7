#include "common/model_file.hpp"

#include <fmt/format.h>
#include <phonaut/core/error.hpp>
#include <phonaut/io/safetensors.hpp>

using namespace phonaut;
namespace fs = std::filesystem;

void refuse_metadata(const fs::path& file, const std::string& key, const std::string& why) {
  throw LoadError(fmt::format("{}: its '{}' {}", file.string(), key, why));
}

nlohmann::json metadata_of(const fs::path& file, const std::string& key) {
  const auto metadata = SafetensorsReader(file.string()).metadata();
  const auto found = metadata.find(key);
  if (found == metadata.end())
    throw LoadError(
        fmt::format("{}: has no '{}' in its metadata, so it is no model of this program", file.string(), key));
  try {
    return nlohmann::json::parse(found->second);
  } catch (const nlohmann::json::exception& e) {
    refuse_metadata(file, key, std::string("cannot be read: ") + e.what());
  }
}

fs::path model_path(const std::string& given) {
  return fs::is_directory(given) ? fs::path(given) / "model.safetensors" : fs::path(given);
}
