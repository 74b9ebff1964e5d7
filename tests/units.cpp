// Tools for sequences of units: they lose nothing, and refuse what is no unit.
#include <algorithm>
#include <limits>
#include <map>
#include <numeric>

#include "catch.hpp"
#include "phonaut/core/error.hpp"
#include "phonaut/core/random.hpp"
#include "phonaut/units/bpe.hpp"
#include "phonaut/units/delay.hpp"
#include "phonaut/units/interleave.hpp"
#include "phonaut/units/runs.hpp"

using namespace phonaut;
using List = std::vector<long>;

namespace {

/// `length` units below `kinds`, in runs.
List some_units(Random& random, long length, long kinds) {
  List units;
  const Draws draws = random.take(2 * length);
  for (long i = 0; i < length; ++i)
    units.push_back(i > 0 && draws.below(3, 2 * i) == 0 ? units.back() : draws.below(kinds, 2 * i + 1));
  return units;
}

using Pair = std::pair<long, long>;

List joined(const List& units, const Pair& pair, long token) {
  List out;
  for (size_t i = 0; i < units.size(); ++i)
    if (i + 1 < units.size() && Pair{units[i], units[i + 1]} == pair) out.push_back(token), ++i;
    else out.push_back(units[i]);
  return out;
}
/// The definition: counts all pairs anew for each merge.
std::vector<Pair> plainly_trained(std::vector<List> corpus, long units, long merges, long min_count) {
  std::vector<Pair> found;
  while (static_cast<long>(found.size()) < merges) {
    std::map<Pair, long> counts;
    for (const List& s : corpus)
      for (size_t i = 1; i < s.size(); ++i) ++counts[{s[i - 1], s[i]}];
    Pair best;
    long most = 0;
    for (const auto& [pair, n] : counts)
      if (n > most) best = pair, most = n;
    if (most == 0 || most < min_count) break;
    for (List& s : corpus) s = joined(s, best, units + static_cast<long>(found.size()));
    found.push_back(best);
  }
  return found;
}

}  // namespace

TEST_CASE("runs are joined and spread again", "[units]") {
  Random random{1, 0};
  for (const long length : {0L, 1L, 2L, 50L}) {
    const List units = some_units(random, length, 3);
    const UnitRuns runs = joined_runs(units);
    for (size_t i = 1; i < runs.units.size(); ++i) CHECK(runs.units[i] != runs.units[i - 1]);
    CHECK(std::accumulate(runs.durations.begin(), runs.durations.end(), 0L) == length);
    CHECK(spread_runs(runs) == units);
  }
  CHECK_THROWS_WITH(spread_runs({{1, 2}, {3}}), "spread_runs: there are 2 units, but 1 durations");
  CHECK_THROWS_AS(spread_runs({{1}, {-1}}), ShapeError);
}

TEST_CASE("tokens of unit pairs decode to the units, and are fewer", "[units]") {
  Random random{2, 0};
  std::vector<List> corpus;
  for (int i = 0; i < 20; ++i) corpus.push_back(some_units(random, 40, 5));
  const auto bpe = UnitBpe::train(corpus, {.units = 5, .merges = 30});
  CHECK(bpe.tokens() == 35);
  for (const List& units : corpus) {
    const List tokens = bpe.encode(units);
    CHECK(tokens.size() < units.size());
    CHECK(bpe.decode(tokens) == units);
  }
  // The pairs alone make the same tokens.
  const UnitBpe again(5, bpe.merges());
  for (const List& units : {List{}, List{4}, some_units(random, 100, 5)})
    CHECK(again.encode(units) == bpe.encode(units));
}

TEST_CASE("pairs are found by count, then by the smallest ids, and rare ones not at all", "[units]") {
  using Pairs = std::vector<std::pair<long, long>>;
  // 1 1 is there twice, as overlapping pairs; 0 1 and 1 2 only once.
  CHECK(UnitBpe::train(std::vector<List>{{0, 1, 1, 1, 2}}, {.units = 3, .merges = 5}).merges() == Pairs{{1, 1}});
  CHECK(UnitBpe::train(std::vector<List>{{2, 0}, {2, 0}, {1, 2}, {1, 2}}, {.units = 3, .merges = 1}).merges() ==
        Pairs{{1, 2}});
  CHECK(UnitBpe::train(std::vector<List>{}, {.units = 3, .merges = 5}).merges().empty());
  CHECK(UnitBpe(2, {{0, 0}}).encode(List{0, 0, 0}) == List{2, 0});
}

TEST_CASE("pairs are those of the definition, for runs, loops and noise", "[units]") {
  Random random{4, 0};
  for (const long kinds : {1L, 2L, 3L, 6L})
    for (const long length : {0L, 1L, 2L, 7L, 60L})
      for (const long min_count : {0L, 2L, 3L}) {
        CAPTURE(kinds, length, min_count);
        std::vector<List> corpus;
        for (int i = 0; i < 5; ++i) corpus.push_back(some_units(random, length, kinds));
        const auto bpe = UnitBpe::train(corpus, {.units = kinds, .merges = 25, .min_count = min_count});
        CHECK(bpe.merges() == plainly_trained(corpus, kinds, 25, min_count));
        for (const List& units : {corpus[0], some_units(random, 80, kinds)}) {
          List plain = units;
          for (size_t i = 0; i < bpe.merges().size(); ++i)
            plain = joined(plain, bpe.merges()[i], kinds + static_cast<long>(i));
          CHECK(bpe.encode(units) == plain);
          CHECK(bpe.decode(plain) == units);
        }
        // The order of the sequences does not matter.
        std::reverse(corpus.begin(), corpus.end());
        CHECK(UnitBpe::train(corpus, {.units = kinds, .merges = 25, .min_count = min_count}).merges() == bpe.merges());
      }
}

TEST_CASE("tokens know how many units they stand for", "[units]") {
  const UnitBpe bpe(3, {{0, 1}, {3, 2}, {4, 4}});
  for (long token = 0; token < bpe.tokens(); ++token)
    CHECK(bpe.length(token) == static_cast<long>(bpe.decode(List{token}).size()));
  CHECK_THROWS_WITH(bpe.length(6), "unit bpe: token 6 at place 0 is outside of 0 … 5");
  std::vector<Pair> doubling;
  for (long i = 0; i < 80; ++i) doubling.emplace_back(i, i);
  CHECK(UnitBpe(1, doubling).length(62) == 1L << 62);
  CHECK(UnitBpe(1, doubling).length(80) == std::numeric_limits<long>::max());
}

TEST_CASE("pairs refuse ids that do not exist", "[units]") {
  const UnitBpe bpe(3, {{0, 1}});
  CHECK_THROWS_WITH(bpe.encode(List{0, 3}), "unit bpe: unit 3 at place 1 is outside of 0 … 2");
  CHECK_THROWS_AS(bpe.decode(List{4}), ShapeError);
  CHECK_THROWS_AS(bpe.decode(List{-1}), ShapeError);
  CHECK_THROWS_AS(UnitBpe(3, {{0, 3}}), ShapeError);
  CHECK_THROWS_AS(UnitBpe(3, {{0, 1}, {0, 1}}), ShapeError);
  CHECK_THROWS_AS(UnitBpe::train(std::vector<List>{{3}}, {.units = 3, .merges = 1}), ShapeError);
  CHECK_THROWS_AS(UnitBpe::train(std::vector<List>{}, {.units = -1}), ConfigError);
}

TEST_CASE("delayed codes come back", "[units]") {
  const List delays = {0, 2, 1};
  for (const long frames : {0L, 1L, 2L, 7L}) {
    List codes(static_cast<size_t>(3 * frames));
    std::iota(codes.begin(), codes.end(), 10);
    const auto delayed = delay_codes(codes, delays, -1);
    CHECK(delayed.frames == (frames > 0 ? frames + 2 : 0));
    CHECK(undelay_codes(delayed.codes, delays, frames) == codes);
    const auto cut = delay_codes(codes, delays, -1, DelayEnd::cut);
    CHECK(cut.frames == frames);
    CHECK(std::equal(cut.codes.begin(), cut.codes.end(), delayed.codes.begin()));
  }
  CHECK_THROWS_AS(delay_codes(List{1, 2}, delays, 0), ShapeError);
  CHECK_THROWS_AS(delay_codes(List{1, 2}, List{0, -1}, 0), ConfigError);
  CHECK_THROWS_AS(delay_codes(List{1, 2}, List{}, 0), ConfigError);
  CHECK_THROWS_AS(undelay_codes(List{1, 2, 3}, delays, 1), ShapeError);
}

TEST_CASE("interleaved codes keep books apart and come back", "[units]") {
  const List entries = {10, 4, 7};
  CHECK(interleave_codes(List{9, 0, 6, 0, 3, 0}, entries) == List{9, 10, 20, 0, 13, 14});
  Random random{3, 0};
  for (const long frames : {0L, 1L, 20L}) {
    List codes;
    const Draws draws = random.take(3 * frames);
    for (long i = 0; i < 3 * frames; ++i) codes.push_back(draws.below(entries[static_cast<size_t>(i % 3)], i));
    CHECK(deinterleave_codes(interleave_codes(codes, entries), entries) == codes);
  }
  CHECK_THROWS_WITH(interleave_codes(List{0, 4, 0}, entries),
                    "interleave_codes: code 4 of frame 0 is none of the 4 entries of book 1");
  CHECK_THROWS_WITH(deinterleave_codes(List{0, 9, 14}, entries),
                    "deinterleave_codes: token 9 at place 1 is none of book 1, whose ids are 10 … 13");
  CHECK_THROWS_AS(interleave_codes(List{0, 0}, entries), ShapeError);
  CHECK_THROWS_AS(interleave_codes(List{-1, 0, 0}, entries), ShapeError);
  CHECK_THROWS_AS(interleave_codes(List{}, List{}), ConfigError);
  CHECK_THROWS_AS(deinterleave_codes(List{0}, List{0}), ConfigError);
}
