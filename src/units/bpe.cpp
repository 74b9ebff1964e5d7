#include "phonaut/units/bpe.hpp"

#include <algorithm>
#include <functional>
#include <limits>
#include <queue>
#include <unordered_map>

#include "phonaut/core/error.hpp"

namespace phonaut {

namespace {

using Pair = std::pair<long, long>;

struct PairHash {
  size_t operator()(const Pair& pair) const {
    // Ids are small: the second fills the bits that the first leaves, and the product spreads both (Fibonacci hashing).
    return (static_cast<size_t>(pair.first) ^ static_cast<size_t>(pair.second) << 32) * 0x9E3779B97F4A7C15u >> 16;
  }
};

/// Sequences, one behind the other, whose neighbours can be joined in constant time. A place is where a token begins.
class Chain {
 public:
  static constexpr long none = -1;

  void append(std::span<const long> units) {
    const long begin = static_cast<long>(tokens_.size()), end = begin + static_cast<long>(units.size());
    for (long at = begin; at < end; ++at) {
      tokens_.push_back(units[static_cast<size_t>(at - begin)]);
      before_.push_back(at > begin ? at - 1 : none);
      after_.push_back(at + 1 < end ? at + 1 : none);
    }
  }
  long size() const { return static_cast<long>(tokens_.size()); }
  long before(long place) const { return before_[static_cast<size_t>(place)]; }
  long after(long place) const { return after_[static_cast<size_t>(place)]; }
  long token(long place) const { return tokens_[static_cast<size_t>(place)]; }
  /// The token of a place and the one behind it; joined tokens and the last of a sequence begin no pair.
  Pair pair(long place) const {
    const long next = after(place);
    return next == none ? Pair{none, none} : Pair{token(place), token(next)};
  }
  void join(long place, long joined) {
    const long gone = after(place), next = after(gone);
    tokens_[static_cast<size_t>(place)] = joined;
    tokens_[static_cast<size_t>(gone)] = none;
    after_[static_cast<size_t>(place)] = next;
    after_[static_cast<size_t>(gone)] = none;
    if (next != none) before_[static_cast<size_t>(next)] = place;
  }

 private:
  std::vector<long> tokens_, before_, after_;
};

/// How often each pair of neighbours occurs, kept while pairs are joined: a merge costs as much as its own places, not
/// as much as the corpus.
class PairCounts {
 public:
  explicit PairCounts(std::span<const std::vector<long>> corpus) {
    for (const auto& sequence : corpus) chain_.append(sequence);
    for (long place = 0; place < chain_.size(); ++place) count(place);
    rank_new_pairs();
  }

  struct Found {
    Pair pair;
    long count = 0;
  };
  /// The most frequent pair, of equally frequent ones that of the smallest ids; count 0 if there is none.
  Found best() {
    // Counts of pairs that are ranked only fall: an entry that is behind the times is ranked again as it now is.
    while (!ranked_.empty()) {
      const Ranked top = ranked_.top();
      const long now = entries_.at(top.pair).count;
      if (now == top.count) return {top.pair, now};
      ranked_.pop();
      if (now > 0) ranked_.push({now, top.pair});
    }
    return {};
  }
  void join(const Pair& pair, long token) {
    // Places are in ascending order: runs such as 1 1 1 are joined from the left.
    const std::vector<long> places = std::move(entries_.at(pair).places);
    for (const long place : places) {
      if (chain_.pair(place) != pair) continue;
      const long before = chain_.before(place), second = chain_.after(place);
      if (before != Chain::none) discount(before);
      discount(place);
      discount(second);
      chain_.join(place, token);
      if (before != Chain::none) count(before);
      count(place);
    }
    rank_new_pairs();
  }

 private:
  struct Entry {
    long count = 0;
    std::vector<long> places;  // where the pair has been; it may be gone from there
  };
  struct Ranked {
    long count;
    Pair pair;
    bool operator<(const Ranked& other) const { return count != other.count ? count < other.count : pair > other.pair; }
  };
  void count(long place) {
    const Pair pair = chain_.pair(place);
    if (pair.first == Chain::none) return;
    const auto [at, is_new] = entries_.try_emplace(pair);
    if (is_new) new_pairs_.push_back(pair);
    ++at->second.count;
    at->second.places.push_back(place);
  }
  void discount(long place) {
    if (const Pair pair = chain_.pair(place); pair.first != Chain::none) --entries_.at(pair).count;
  }
  void rank_new_pairs() {
    for (const Pair& pair : new_pairs_)
      if (const long count = entries_.at(pair).count; count > 0) ranked_.push({count, pair});
    new_pairs_.clear();
  }

  Chain chain_;
  std::unordered_map<Pair, Entry, PairHash> entries_;
  std::vector<Pair> new_pairs_;
  std::priority_queue<Ranked> ranked_;
};

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
  for (const auto& sequence : corpus) check_ids("unit bpe: unit", sequence, config.units);
  PairCounts counts(corpus);
  std::vector<Pair> merges;
  while (static_cast<long>(merges.size()) < config.merges) {
    const auto [pair, count] = counts.best();
    if (count == 0 || count < config.min_count) break;
    counts.join(pair, config.units + static_cast<long>(merges.size()));
    merges.push_back(pair);
  }
  return UnitBpe(config.units, std::move(merges));
}

UnitBpe::UnitBpe(long units, std::vector<Pair> merges) : units_(units), merges_(std::move(merges)) {
  if (units < 0) throw ConfigError(concat("unit bpe: there cannot be ", units, " units"));
  const auto length_of = [&](long id) { return id < units_ ? 1 : lengths_[static_cast<size_t>(id - units_)]; };
  for (size_t i = 0; i < merges_.size(); ++i) {
    const long known = units_ + static_cast<long>(i);
    const auto& [first, second] = merges_[i];
    if (std::min(first, second) < 0 || std::max(first, second) >= known)
      throw ShapeError(
          concat("unit bpe: merge ", i, " joins ", first, " and ", second, ", but ids below it are 0 … ", known - 1));
    if (!ranks_.emplace(merges_[i], static_cast<long>(i)).second)
      throw ShapeError(concat("unit bpe: merge ", i, " joins ", first, " and ", second, " a second time"));
    // Merges of merges may double 60 times and more.
    const long one = length_of(first), other = length_of(second);
    lengths_.push_back(one > std::numeric_limits<long>::max() - other ? std::numeric_limits<long>::max() : one + other);
  }
}

std::vector<long> UnitBpe::encode(std::span<const long> units) const {
  check_ids("unit bpe: unit", units, units_);
  Chain chain;
  chain.append(units);
  // Pairs to join, the one that was found first before others, of the same from the left. A token is younger than all
  // pairs that made it, so that no pair comes up that should have been joined before.
  using Join = std::pair<long, long>;  // rank, place
  std::priority_queue<Join, std::vector<Join>, std::greater<>> joins;
  const auto offer = [&](long place) {
    if (const auto at = ranks_.find(chain.pair(place)); at != ranks_.end()) joins.push({at->second, place});
  };
  for (long place = 0; place < chain.size(); ++place) offer(place);
  while (!joins.empty()) {
    const auto [rank, place] = joins.top();
    joins.pop();
    if (chain.pair(place) != merges_[static_cast<size_t>(rank)]) continue;
    chain.join(place, units_ + rank);
    if (const long before = chain.before(place); before != Chain::none) offer(before);
    offer(place);
  }
  std::vector<long> tokens;
  for (long place = units.empty() ? Chain::none : 0; place != Chain::none; place = chain.after(place))
    tokens.push_back(chain.token(place));
  return tokens;
}

long UnitBpe::length(long token) const {
  check_ids("unit bpe: token", std::span(&token, 1), tokens());
  return token < units_ ? 1 : lengths_[static_cast<size_t>(token - units_)];
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
