#include "phonaut/io/unit_lines.hpp"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdint>
#include <limits>

#include "byte_source.hpp"
#include "phonaut/core/error.hpp"
#include "phonaut/io/atomic_file.hpp"
#include "phonaut/io/json_value.hpp"
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

std::vector<long> numbers_of(const JsonValue& list, const std::string& where, const char* name) {
  const auto refuse = [&](const JsonValue& what) {
    throw FormatError(concat(where, ": ", name, " should be a list of whole numbers from 0 to ", largest, ", but ",
                             detail::ticked(what.dump()), " is none"));
  };
  if (!list.is_array()) refuse(list);
  std::vector<long> numbers;
  for (const JsonValue& item : list.items()) {
    const double number = item.is_number() ? item.number() : -1;
    if (!(number >= 0 && number <= static_cast<double>(largest)) || number != std::floor(number)) refuse(item);
    numbers.push_back(static_cast<long>(number));
  }
  return numbers;
}
UnitLine json_line(std::string_view line, const std::string& where) {
  const JsonValue object = JsonValue::parse(line, where);
  const JsonValue *const name = object.find("name"), *const units = object.find("units"),
                         *const durations = object.find("durations");
  if (!name || !name->is_string() || name->string().empty() || !units)
    throw FormatError(
        concat(where, ": ", detail::ticked(line), " is not what was expected, {\"name\":\"a\",\"units\":[1,2,3]}"));
  UnitLine read{name->string(), numbers_of(*units, where, "units"), {}};
  if (durations) read.durations = numbers_of(*durations, where, "durations");
  if (durations && read.durations.size() != read.units.size())
    throw FormatError(
        concat(where, ": there are ", read.units.size(), " units, but ", read.durations.size(), " durations"));
  return read;
}
void check_numbers(const std::string& path, const char* what, const std::vector<long>& numbers) {
  for (const long number : numbers)
    if (number < 0 || number > largest)
      throw FormatError(concat(path, ": ", what, " ", number, " is outside of 0 … ", largest));
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
    if (format == UnitFormat::jsonl) {
      lines.push_back(json_line(line, where));
      continue;
    }
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
    check_numbers(path, "unit", one.units);
    check_numbers(path, "duration", one.durations);
    if (!one.durations.empty() && (format != UnitFormat::jsonl || one.durations.size() != one.units.size()))
      throw FormatError(concat(path, ": the ", one.durations.size(), " durations of ", one.units.size(), " units of ",
                               detail::ticked(one.name), " cannot be written",
                               format == UnitFormat::jsonl ? "" : ", for such lines have none"));
    if (format == UnitFormat::jsonl) {
      if (one.name.empty() || detail::find_invalid_utf8(one.name) != std::string::npos)
        throw FormatError(concat(path, ": ", detail::ticked(one.name), " cannot be the name of a line"));
      JsonValue::Object members = {{"name", one.name}, {"units", one.units}};
      if (!one.durations.empty()) members.emplace_back("durations", one.durations);
      file.write(JsonValue::object(std::move(members)).dump() + '\n');
      continue;
    }
    if (format == UnitFormat::gslm) {
      if (one.name.empty() || one.name.find_first_of("|\r\n") != std::string::npos)
        throw FormatError(concat(path, ": ", detail::ticked(one.name), " cannot be the name of a line"));
      line += one.name + '|';
    }
    for (std::size_t i = 0; i < one.units.size(); ++i) {
      if (i > 0) line += ' ';
      line += std::to_string(one.units[i]);
    }
    file.write(line + '\n');
  }
  file.commit();
}

}  // namespace phonaut
