#include "phonaut/units/interleave.hpp"

#include <cstdint>
#include <limits>

#include "phonaut/core/error.hpp"

namespace phonaut {

namespace {

/// Where the ids of each book begin; behind them, where those of the last end.
std::vector<long> begins(const char* what, std::span<const long> codes, std::span<const long> entries) {
  if (entries.empty()) throw ConfigError(concat(what, ": there are no books"));
  std::vector<long> begin = {0};
  for (size_t k = 0; k < entries.size(); ++k) {
    if (entries[k] < 1 || entries[k] > std::numeric_limits<std::int32_t>::max())
      throw ConfigError(concat(what, ": book ", k, " cannot have ", entries[k], " entries"));
    begin.push_back(begin.back() + entries[k]);
  }
  if (codes.size() % entries.size() != 0)
    throw ShapeError(concat(what, ": ", codes.size(), " codes are no whole frames of ", entries.size(), " books"));
  return begin;
}

}  // namespace

std::vector<long> interleave_codes(std::span<const long> codes, std::span<const long> entries) {
  const auto begin = begins("interleave_codes", codes, entries);
  std::vector<long> tokens;
  tokens.reserve(codes.size());
  for (size_t i = 0; i < codes.size(); ++i) {
    const size_t book = i % entries.size();
    if (codes[i] < 0 || codes[i] >= entries[book])
      throw ShapeError(concat("interleave_codes: code ", codes[i], " of frame ", i / entries.size(), " is none of the ",
                              entries[book], " entries of book ", book));
    tokens.push_back(begin[book] + codes[i]);
  }
  return tokens;
}

std::vector<long> deinterleave_codes(std::span<const long> tokens, std::span<const long> entries) {
  const auto begin = begins("deinterleave_codes", tokens, entries);
  std::vector<long> codes;
  codes.reserve(tokens.size());
  for (size_t i = 0; i < tokens.size(); ++i) {
    const size_t book = i % entries.size();
    if (tokens[i] < begin[book] || tokens[i] >= begin[book + 1])
      throw ShapeError(concat("deinterleave_codes: token ", tokens[i], " at place ", i, " is none of book ", book,
                              ", whose ids are ", begin[book], " … ", begin[book + 1] - 1));
    codes.push_back(tokens[i] - begin[book]);
  }
  return codes;
}

}  // namespace phonaut
