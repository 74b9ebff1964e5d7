#pragma once
// Files of pair encodings (units/bpe.hpp): what was trained once encodes everywhere.
#include <string>
#include <string_view>

#include "phonaut/units/bpe.hpp"

namespace phonaut {

/// Reads what `write_unit_bpe` writes: a line `units 100 merges 2`, then the two ids of each merge, `3 7`, in the order
/// in which they were found. Throws FileError if the file cannot be read; FormatError, naming file and line and what
/// was expected, for anything else than that, for another number of lines than the first one says, for a pair of ids
/// that do not exist yet or that is there twice, and for a token that would stand for more than 2^20 units.
UnitBpe read_unit_bpe(const std::string& path);
/// The same from text: `file` stands for the path in messages.
UnitBpe parse_unit_bpe(std::string_view text, const std::string& file);

/// Writes such a file, whole or not at all. Throws FileError.
void write_unit_bpe(const std::string& path, const UnitBpe& bpe);

}  // namespace phonaut
