#pragma once
// Settings and facts that travel inside a model file, as JSON in its metadata.
#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>

/// What the file says under `key`. Throws LoadError if there is nothing, or nothing that is JSON; FileError or
/// FormatError if it is no model file.
nlohmann::json metadata_of(const std::filesystem::path& file, const std::string& key);

/// The same as a T. Throws LoadError if it does not fit.
template <class T>
T metadata_as(const std::filesystem::path& file, const std::string& key);

/// `run` or `run/model.safetensors`: the file of a trained model.
std::filesystem::path model_path(const std::string& given);

// ---- details ----

[[noreturn]] void refuse_metadata(const std::filesystem::path& file, const std::string& key, const std::string& why);

template <class T>
T metadata_as(const std::filesystem::path& file, const std::string& key) {
  const nlohmann::json value = metadata_of(file, key);
  try {
    return value.get<T>();
  } catch (const nlohmann::json::exception& e) {
    refuse_metadata(file, key, std::string("does not fit: ") + e.what());
  }
}
