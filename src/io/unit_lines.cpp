#include "phonaut/io/unit_lines.hpp"

#include <algorithm>
#include <charconv>
#include <cstdint>
#include <limits>

#include "byte_source.hpp"
#include "phonaut/core/error.hpp"
#include "phonaut/io/atomic_file.hpp"
#include "text.hpp"

namespace phonaut {

namespace {

constexpr std::size_t most_bytes = std::size_t{1} << 31;
constexpr long largest = std::numeric_limits<std::int32_t>::max();

/// The whole numbers of a line, with single spaces between them.
std::vector<long> numbers_of(std::string_view line, const std::string& where) {
  std::vector<long> units;
  for (std::size_t at = 0; at < line.size();) {
    const std::size_t end = std::min(line.find(' ', at), line.size());
    const std::string_view word = line.substr(at, end - at);
    long unit = 0;
    const auto [rest, error] = std::from_chars(word.data(), word.data() + word.size(), unit);
    if (error != std::errc() || rest != word.data() + word.size() || word.front() == '-' || unit > largest ||
        end + 1 == line.size())
      throw FormatError(concat(where, ": ", detail::ticked(word), " is no unit; expected whole numbers from 0 to ",
                               largest, " with single spaces between them"));
    units.push_back(unit);
    at = end + 1;
  }
  return units;
}

}  // namespace

std::vector<UnitLine> parse_units(std::string_view text, const std::string& file, UnitFormat format) {
  std::vector<UnitLine> lines;
  for (std::size_t at = 0, number = 1; at < text.size(); ++number) {
    const std::size_t end = std::min(text.find('\n', at), text.size());
    std::string_view line = text.substr(at, end - at);
    at = end + 1;
    if (line.ends_with('\r')) line.remove_suffix(1);
    const std::string where = concat(file, " line ", number);
    UnitLine read;
    if (format == UnitFormat::gslm) {
      const std::size_t bar = line.find('|');
      if (bar == std::string_view::npos || bar == 0)
        throw FormatError(concat(where, ": ", detail::ticked(line), " has no name; expected `name|1 2 3`"));
      read.name = line.substr(0, bar);
      line.remove_prefix(bar + 1);
    }
    read.units = numbers_of(line, where);
    lines.push_back(std::move(read));
  }
  return lines;
}

std::vector<UnitLine> read_units(const std::string& path, UnitFormat format) {
  return parse_units(detail::read_text_file(path, most_bytes), path, format);
}

void write_units(const std::string& path, std::span<const UnitLine> lines, UnitFormat format) {
  AtomicFile file(path);
  std::string line;
  for (const UnitLine& one : lines) {
    line.clear();
    if (format == UnitFormat::gslm) {
      if (one.name.empty() || one.name.find_first_of("|\r\n") != std::string::npos)
        throw FormatError(concat(path, ": ", detail::ticked(one.name), " cannot be the name of a line"));
      line += one.name + '|';
    }
    for (std::size_t i = 0; i < one.units.size(); ++i) {
      if (one.units[i] < 0 || one.units[i] > largest)
        throw FormatError(concat(path, ": unit ", one.units[i], " is outside of 0 … ", largest));
      if (i > 0) line += ' ';
      line += std::to_string(one.units[i]);
    }
    file.write(line + '\n');
  }
  file.commit();
}

}  // namespace phonaut
