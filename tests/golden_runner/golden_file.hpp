#pragma once
// A golden file (tests/golden/README.md): its tensors, its settings and how close a result must come.
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "phonaut/io/json_value.hpp"
#include "phonaut/io/safetensors.hpp"

namespace phonaut::golden {

/// Settings of a file: sizes and options. Everything throws FormatError, naming the key, if it is missing or of
/// another kind; `fallback` stands in for a missing one.
class Config {
 public:
  Config() = default;
  explicit Config(JsonValue value) : value_(std::move(value)) {}

  bool has(const std::string& key) const { return value_.find(key) && !value_.find(key)->is_null(); }
  long integer(const std::string& key) const { return value_.at(key).integer(); }
  long integer(const std::string& key, long fallback) const { return has(key) ? integer(key) : fallback; }
  double number(const std::string& key) const { return value_.at(key).number(); }
  double number(const std::string& key, double fallback) const { return has(key) ? number(key) : fallback; }
  bool flag(const std::string& key) const { return value_.at(key).boolean(); }
  bool flag(const std::string& key, bool fallback) const { return has(key) ? flag(key) : fallback; }
  std::string text(const std::string& key) const { return value_.at(key).string(); }
  std::string text(const std::string& key, const std::string& fallback) const {
    return has(key) ? text(key) : fallback;
  }
  std::vector<long> integers(const std::string& key) const;
  std::vector<double> numbers(const std::string& key) const;
  std::vector<std::string> texts(const std::string& key) const;
  /// Whatever else there is.
  const JsonValue& json() const { return value_; }

 private:
  JsonValue value_;
};

/// How close a result must come.
struct Rule {
  enum class Kind {
    scaled,    ///< |got - want| <= tolerance · max|want|
    allclose,  ///< |got - want| <= atol + rtol · |want|, element by element
    norm       ///< ‖got - want‖ <= tolerance · ‖want‖
  } kind = Kind::scaled;
  double tolerance = 0, rtol = 0, atol = 0;
};

class GoldenFile {
 public:
  /// Throws FileError or FormatError if this is no golden file.
  explicit GoldenFile(const std::string& path);

  const std::string& path() const { return reader_.path(); }
  const std::string& op() const { return op_; }
  const std::string& name() const { return case_; }
  /// What the file says of itself; empty if nothing.
  std::string note() const {
    const auto found = reader_.metadata().find("note");
    return found == reader_.metadata().end() ? std::string() : found->second;
  }
  const Config& config() const { return config_; }
  bool has(const std::string& key) const { return reader_.contains(key); }
  /// In the order of the file.
  const std::vector<SafetensorsInfo>& entries() const { return reader_.entries(); }
  const std::vector<long>& shape(const std::string& key) const { return reader_.info(key).shape; }
  std::vector<double> values(const std::string& key) const { return reader_.read<double>(key); }
  std::vector<long> integers(const std::string& key) const;
  bool holds_integers(const std::string& key) const;
  /// The rule for a key; throws FormatError if the file gives none.
  Rule rule(const std::string& key) const;
  /// Largest |value| over all `grad.*`: gradients are never held to a smaller scale than 1e-3 of it.
  double largest_gradient() const;

 private:
  SafetensorsReader reader_;
  std::string op_, case_;
  Config config_;
  JsonValue tolerance_, exceptions_;
  mutable std::optional<double> largest_gradient_;
};

}  // namespace phonaut::golden
