#pragma once
// Units of utterances as text, one line each: .km files of k-means labels, and the lines `name|1 2 3` of GSLM.
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace phonaut {

/// The units of an utterance, and its name where the file has names.
struct UnitLine {
  std::string name;
  std::vector<long> units;
};

enum class UnitFormat {
  km,   ///< `1 2 3`
  gslm  ///< `name|1 2 3`
};

/// Reads a file of units, in its order; an empty line is an utterance without units (of no name: GSLM has none such).
/// CRLF is accepted. Throws FileError if the file cannot be read; FormatError, naming file and line and what was
/// expected, for anything but whole numbers from 0 to 2^31 - 1 with single spaces between them, and for lines without a
/// name.
std::vector<UnitLine> read_units(const std::string& path, UnitFormat format);
/// The same from text: `file` stands for the path in messages.
std::vector<UnitLine> parse_units(std::string_view text, const std::string& file, UnitFormat format);

/// Writes such a file, whole or not at all. Throws FileError; FormatError for a unit below 0 or above 2^31 - 1 and for
/// a name that is empty or holds `|` or the end of a line.
void write_units(const std::string& path, std::span<const UnitLine> lines, UnitFormat format);

}  // namespace phonaut
