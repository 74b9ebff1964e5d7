#include "phonaut/io/unit_bpe.hpp"

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
/// Twenty lines of merges of merges stand for a million units: more than that is no utterance, but an attack on memory.
constexpr long longest = 1L << 20;

/// Takes `lead` and a whole number off the begin of `line`; false if they are not there.
bool take(std::string_view& line, std::string_view lead, long& number) {
  if (!line.starts_with(lead)) return false;
  line.remove_prefix(lead.size());
  if (line.empty() || line.front() == '-') return false;
  const auto [rest, error] = std::from_chars(line.data(), line.data() + line.size(), number);
  line.remove_prefix(static_cast<std::size_t>(rest - line.data()));
  return error == std::errc() && number <= largest;
}

}  // namespace

UnitBpe parse_unit_bpe(std::string_view text, const std::string& file) {
  long line_number = 0;
  const auto next_line = [&](const char* expected) {
    ++line_number;
    const std::size_t end = text.find('\n');
    if (end == std::string_view::npos)
      throw FormatError(concat(file, " line ", line_number, ": ",
                               text.empty() ? "is missing" : "has no end, the file is cut off", "; expected ",
                               expected));
    std::string_view line = text.substr(0, end);
    text.remove_prefix(end + 1);
    if (line.ends_with('\r')) line.remove_suffix(1);
    return line;
  };
  const auto refuse = [&](std::string_view line, const char* expected) {
    throw FormatError(
        concat(file, " line ", line_number, ": ", detail::ticked(line), " is not what was expected, ", expected));
  };
  const char* const head = "`units 100 merges 2` with numbers from 0 to 2147483647";
  const char* const pair = "two ids such as `3 7`";

  long units = 0, count = 0;
  const std::string_view first = next_line(head);
  if (auto rest = first; !take(rest, "units ", units) || !take(rest, " merges ", count) || !rest.empty())
    refuse(first, head);
  std::vector<std::pair<long, long>> merges;  // grows with the file, whatever the first line says
  while (static_cast<long>(merges.size()) < count) {
    const std::string_view line = next_line(pair);
    std::pair<long, long> ids;
    if (auto rest = line; !take(rest, "", ids.first) || !take(rest, " ", ids.second) || !rest.empty())
      refuse(line, pair);
    merges.push_back(ids);
  }
  if (!text.empty())
    throw FormatError(concat(file, " line ", line_number + 1, ": the file should end behind its ", count, " merges"));
  try {
    UnitBpe bpe(units, std::move(merges));
    for (long token = units; token < bpe.tokens(); ++token)
      if (bpe.length(token) > longest)
        throw FormatError(concat(file, " line ", token - units + 2, ": the token would stand for ", bpe.length(token),
                                 " units, more than ", longest));
    return bpe;
  } catch (const ShapeError& error) {
    throw FormatError(concat(file, ": ", error.what()));
  }
}

UnitBpe read_unit_bpe(const std::string& path) {
  return parse_unit_bpe(detail::read_text_file(path, most_bytes), path);
}

void write_unit_bpe(const std::string& path, const UnitBpe& bpe) {
  AtomicFile file(path);
  file.write(concat("units ", bpe.units(), " merges ", bpe.merges().size(), '\n'));
  for (const auto& [first, second] : bpe.merges()) file.write(concat(first, ' ', second, '\n'));
  file.commit();
}

}  // namespace phonaut
