#pragma once
// Units of utterances as text, one line each: .km files of k-means labels, the lines `name|1 2 3` of GSLM, and JSON.
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace phonaut {

/// The units of an utterance, and its name and their durations where the file has them.
struct UnitLine {
  std::string name;
  std::vector<long> units;
  std::vector<long> durations = {};  ///< frames that each unit lasts (units/runs.hpp), or nothing
};

enum class UnitFormat {
  km,    ///< `1 2 3`
  gslm,  ///< `name|1 2 3`
  jsonl  ///< `{"name":"a","units":[1,2,3],"durations":[4,1,2]}`, the durations optional, other members passed over
};

/// Reads a file of units, in its order; an empty line is an utterance without units (km only). CRLF is accepted. Throws
/// FileError if the file cannot be read; FormatError, naming file and line and what was expected, for units and
/// durations that are no whole numbers from 0 to 2^31 - 1 (in lines without JSON: with single spaces between them), for
/// lines without a name where the format has one, and for another number of durations than units.
std::vector<UnitLine> read_units(const std::string& path, UnitFormat format);
/// The same from text: `file` stands for the path in messages.
std::vector<UnitLine> parse_units(std::string_view text, const std::string& file, UnitFormat format);

/// Writes such a file, whole or not at all. Throws FileError; FormatError for a number below 0 or above 2^31 - 1, for a
/// name that is empty, holds `|` or the end of a line (gslm) or is no UTF-8 (jsonl), and for durations that are not as
/// many as units or have no place in the format.
void write_units(const std::string& path, std::span<const UnitLine> lines, UnitFormat format);

}  // namespace phonaut
