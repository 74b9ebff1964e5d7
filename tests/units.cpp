// Tools for sequences of units: they lose nothing, and refuse what is no unit.
#include <numeric>

#include "catch.hpp"
#include "phonaut/core/error.hpp"
#include "phonaut/core/random.hpp"
#include "phonaut/units/bpe.hpp"
#include "phonaut/units/delay.hpp"
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
