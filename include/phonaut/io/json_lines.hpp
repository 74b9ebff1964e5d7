#pragma once
// Logs with one JSON object per line, which survive a kill at any moment.
#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "phonaut/io/json_value.hpp"

namespace phonaut {

/// Appends lines to a log. Each line is handed to the system whole, so that a reader never waits for half a line and a
/// killed program leaves complete lines, or one torn one at the end, which the next `append` removes.
class JsonLines {
 public:
  enum class Existing {
    append,  ///< keep the complete lines that are there; a torn last line is cut off
    replace  ///< start with an empty file
  };

  /// Throws FileError if the file cannot be opened or created.
  explicit JsonLines(std::string path, Existing existing = Existing::append);
  ~JsonLines();
  JsonLines(JsonLines&& other) noexcept;
  JsonLines& operator=(JsonLines&& other) noexcept;

  /// `log.write({{"step", 3}, {"loss", 0.25}})`: one line. NaN and infinity become null.
  /// Throws FileError if the disk refuses; the file then ends where it did before.
  void write(const JsonValue::Object& members);

  const std::string& path() const noexcept { return path_; }

 private:
  std::string path_;
  std::string line_;
  int descriptor_ = -1;
};

/// Cuts a log before the first line whose number `key` is above `last`, and a torn last line: what a resumed run does
/// with the lines that were written after its checkpoint. Returns how many complete lines were dropped; 0 if there is
/// no such file. Throws FileError; FormatError, naming the line, if a complete line is no JSON object (the file is
/// then left alone).
long keep_lines_through(const std::string& path, std::string_view key, double last);

/// All complete lines of a log. Throws FileError; FormatError, naming the line, if one is no JSON object.
std::vector<JsonValue> read_json_lines(const std::string& path);

}  // namespace phonaut
