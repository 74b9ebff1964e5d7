#include "phonaut/units/bpe.hpp"

#include <algorithm>

#include "phonaut/core/error.hpp"

namespace phonaut {

namespace {

using Pair = std::pair<long, long>;

/// Joins a pair from the left; returns whether it was there.
bool join(std::vector<long>& sequence, const Pair& pair, long token) {
  size_t to = 0;
  for (size_t from = 0; from < sequence.size(); ++to) {
    const bool here = from + 1 < sequence.size() && sequence[from] == pair.first && sequence[from + 1] == pair.second;
    sequence[to] = here ? token : sequence[from];
    from += here ? 2 : 1;
  }
  const bool joined = to < sequence.size();
  sequence.resize(to);
  return joined;
}

void check_ids(const char* what, std::span<const long> ids, long below) {
  for (size_t i = 0; i < ids.size(); ++i)
    if (ids[i] < 0 || ids[i] >= below)
      throw ShapeError(concat(what, " ", ids[i], " at place ", i, " is outside of 0 … ", below - 1));
}

}  // namespace

UnitBpe UnitBpe::train(std::span<const std::vector<long>> corpus, const Config& config) {
  if (config.units < 0 || config.merges < 0)
    throw ConfigError(
        concat("unit bpe: units and merges must not be negative, got ", config.units, " and ", config.merges));
  std::vector<std::vector<long>> sequences(corpus.begin(), corpus.end());
  for (const auto& sequence : sequences) check_ids("unit bpe: unit", sequence, config.units);
  std::vector<Pair> merges;
  while (static_cast<long>(merges.size()) < config.merges) {
    std::map<Pair, long> counts;
    for (const auto& sequence : sequences)
      for (size_t i = 0; i + 1 < sequence.size(); ++i) ++counts[{sequence[i], sequence[i + 1]}];
    // The map is in ascending order: the first of the most frequent is that of the smallest ids.
    const auto best = std::max_element(counts.begin(), counts.end(),
                                       [](const auto& a, const auto& b) { return a.second < b.second; });
    if (best == counts.end() || best->second < config.min_count) break;
    for (auto& sequence : sequences) join(sequence, best->first, config.units + static_cast<long>(merges.size()));
    merges.push_back(best->first);
  }
  return UnitBpe(config.units, std::move(merges));
}

UnitBpe::UnitBpe(long units, std::vector<Pair> merges) : units_(units), merges_(std::move(merges)) {
  if (units < 0) throw ConfigError(concat("unit bpe: there cannot be ", units, " units"));
  for (size_t i = 0; i < merges_.size(); ++i) {
    const long known = units_ + static_cast<long>(i);
    const auto& [first, second] = merges_[i];
    if (std::min(first, second) < 0 || std::max(first, second) >= known)
      throw ShapeError(
          concat("unit bpe: merge ", i, " joins ", first, " and ", second, ", but ids below it are 0 … ", known - 1));
    if (!ranks_.emplace(merges_[i], static_cast<long>(i)).second)
      throw ShapeError(concat("unit bpe: merge ", i, " joins ", first, " and ", second, " a second time"));
  }
}

std::vector<long> UnitBpe::encode(std::span<const long> units) const {
  check_ids("unit bpe: unit", units, units_);
  std::vector<long> tokens(units.begin(), units.end());
  for (;;) {
    auto best = ranks_.end();
    for (size_t i = 0; i + 1 < tokens.size(); ++i)
      if (const auto at = ranks_.find({tokens[i], tokens[i + 1]});
          at != ranks_.end() && (best == ranks_.end() || at->second < best->second))
        best = at;
    if (best == ranks_.end()) return tokens;
    join(tokens, best->first, units_ + best->second);
  }
}

std::vector<long> UnitBpe::decode(std::span<const long> tokens) const {
  check_ids("unit bpe: token", tokens, this->tokens());
  std::vector<long> units, waiting;
  for (const long token : tokens) {
    waiting.push_back(token);
    while (!waiting.empty()) {
      const long next = waiting.back();
      waiting.pop_back();
      if (next < units_) {
        units.push_back(next);
      } else {
        const auto& [first, second] = merges_[static_cast<size_t>(next - units_)];
        waiting.push_back(second);
        waiting.push_back(first);
      }
    }
  }
  return units;
}

}  // namespace phonaut
