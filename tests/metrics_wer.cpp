// Word and character error rates: against the definition, by hand, and against counts of jiwer.
#include "phonaut/metrics/wer.hpp"

#include <algorithm>
#include <cmath>
#include <vector>

#include "catch.hpp"
#include "phonaut/core/random.hpp"

using namespace phonaut;

namespace {

/// Levenshtein's recursion as it is written.
long distance(std::span<const long> a, std::span<const long> b) {
  if (a.empty() || b.empty()) return static_cast<long>(a.size() + b.size());
  const auto a_rest = a.subspan(1), b_rest = b.subspan(1);
  if (a.front() == b.front()) return distance(a_rest, b_rest);
  return 1 + std::min({distance(a_rest, b), distance(a, b_rest), distance(a_rest, b_rest)});
}

bool is(const EditCounts& e, long substitutions, long deletions, long insertions) {
  return e.substitutions == substitutions && e.deletions == deletions && e.insertions == insertions;
}

}  // namespace

TEST_CASE("edits are the fewest there are", "[metrics]") {
  const Draws draws = Random{1, 0}.take(4000);
  long at = 0;
  for (int round = 0; round < 200; ++round) {
    std::vector<long> a(static_cast<size_t>(draws.below(7, at++))), b(static_cast<size_t>(draws.below(7, at++)));
    for (auto* list : {&a, &b})
      for (long& v : *list) v = draws.below(3, at++);
    const EditCounts e = count_edits(a, b);
    CHECK(e.errors() == distance(a, b));
    CHECK(e.reference == static_cast<long>(a.size()));
    CHECK(e.insertions - e.deletions == static_cast<long>(b.size()) - static_cast<long>(a.size()));
  }
}

TEST_CASE("among equally good alignments jiwer's is counted", "[metrics]") {
  // Counted by jiwer 4.0.
  CHECK(is(word_errors("the cat sat on the mat", "the cat sat mat"), 0, 2, 0));
  CHECK(is(word_errors("c c a d b a b a c d", "c a d b b d b"), 2, 3, 0));
  CHECK(is(word_errors("b b c c", "b b b"), 1, 1, 0));
  CHECK(is(word_errors("c a c d b b c", "c c c c b d"), 3, 1, 0));
}

TEST_CASE("words are what white space separates, characters are code points", "[metrics]") {
  CHECK(is(word_errors(" one\ttwo \n", "one two"), 0, 0, 0));
  CHECK(word_errors("", " ").rate() == 0);
  CHECK(std::isinf(word_errors("", "one").rate()));
  CHECK(word_errors("one two", "").rate() == 1);
  CHECK(word_errors("one", "two three four").rate() == 3);
  CHECK(is(word_errors("One", "one"), 1, 0, 0));

  CHECK(is(character_errors("seven", "eleven"), 1, 0, 1));
  CHECK(character_errors("বাংলা", "বাংলা").reference == 5);  // three bytes each
  CHECK(is(character_errors("é", "e"), 1, 0, 0));
  CHECK(is(character_errors("a\xc3", "a\xc3"), 0, 0, 0));  // half a character
  CHECK(is(character_errors("a\xc3", "a\xc4"), 1, 0, 0));
}

TEST_CASE("counts of many utterances are pooled", "[metrics]") {
  EditCounts all = word_errors("one two three", "one three");
  all += word_errors("four", "four five");
  CHECK(is(all, 0, 1, 1));
  CHECK(all.rate() == Approx(0.5));
}
