// CTC decoding: against the sum over all paths, as a stream in any chunks, and against the loss.
#include "phonaut/decoders/ctc.hpp"

#include <cmath>
#include <limits>
#include <map>

#include "catch.hpp"
#include "phonaut/losses/ctc.hpp"
#include "phonaut/testing/gradient_check.hpp"

using namespace phonaut;
using namespace phonaut::testing;

namespace {

using Labels = std::vector<long>;

Sequence<Cpu> logits_of(Context<Cpu>& ctx, const Shape<3>& shape, std::uint64_t seed, double deviation = 2) {
  return {input(ctx, shape, normal(shape, seed, deviation).data), {}, 0};
}
Labels labels_of(const std::vector<CtcLabel>& said) {
  Labels labels;
  for (const auto& s : said) labels.push_back(s.label);
  return labels;
}

/// Probability of every sequence of labels, by adding up every path through logits (1, time, classes).
std::map<Labels, double> all_probabilities(const Sequence<Cpu>& x, long blank) {
  const auto logits = values_of(x.frames);
  const long classes = x.channels();
  std::map<Labels, double> p;
  long paths = 1;
  for (long t = 0; t < x.time(); ++t) paths *= classes;
  for (long path = 0; path < paths; ++path) {
    Labels labels;
    double probability = 1;
    long before = -1, rest = path;
    for (long t = 0; t < x.time(); ++t, rest /= classes) {
      const long c = rest % classes;
      double total = 0;
      for (long k = 0; k < classes; ++k)
        total += std::exp(static_cast<double>(logits[static_cast<size_t>(t * classes + k)]));
      probability *= std::exp(static_cast<double>(logits[static_cast<size_t>(t * classes + c)])) / total;
      if (c != before && c != blank) labels.push_back(c);
      before = c;
    }
    p[labels] += probability;
  }
  return p;
}

}  // namespace

TEST_CASE("greedy decoding joins repetitions and leaves blanks out", "[decoders]") {
  Context<Cpu> ctx;
  const Labels best = {0, 2, 2, 0, 2, 1, 1, 0, 0, 3};
  std::vector<double> logits(best.size() * 4, 0.0);
  for (size_t t = 0; t < best.size(); ++t) logits[t * 4 + static_cast<size_t>(best[t])] = 1;
  const Sequence<Cpu> x{input(ctx, Shape<3>{1, 10, 4}, logits), {}, 0};
  CHECK(CtcGreedy{}(x)[0] == std::vector<CtcLabel>{{2, 1}, {2, 4}, {1, 5}, {3, 9}});
  CHECK(labels_of(CtcGreedy{.blank = 2}(x)[0]) == Labels{0, 0, 1, 0, 3});
}

TEST_CASE("greedy decoding of a stream is that of the whole, in any chunks", "[decoders]") {
  Context<Cpu> ctx;
  const long n = 3, time = 57;
  const auto x = logits_of(ctx, {n, time, 4}, 2);
  const CtcGreedy greedy{.blank = 1};
  const auto whole = greedy(x);
  const Draws draws = Random{3, 0}.take(4000);
  long at = 0;
  for (int round = 0; round < 50; ++round) {
    auto state = greedy.start(n);
    std::vector<std::vector<CtcLabel>> said(static_cast<size_t>(n));
    for (long begin = 0; begin < time;) {
      const long end = std::min(time, begin + draws.below(9, at++));
      const auto part = greedy(Sequence<Cpu>{slice(x.frames, 1, begin, end), {}, 0}, state);
      for (size_t i = 0; i < said.size(); ++i) said[i].insert(said[i].end(), part[i].begin(), part[i].end());
      begin = end;
    }
    CHECK(said == whole);
  }
}

TEST_CASE("decoding of a batch is that of its utterances", "[decoders]") {
  Context<Cpu> ctx;
  auto x = logits_of(ctx, {3, 12, 5}, 4);
  x.lengths = lengths_of(ctx, std::vector{12, 7, 0});
  const auto greedy = CtcGreedy{}(x);
  const auto beam = CtcPrefixBeam{}(x);
  for (long n = 0; n < 3; ++n) {
    const Sequence<Cpu> alone{slice(slice(x.frames, 0, n, n + 1), 1, 0, x.length(n)), {}, 0};
    const auto at = static_cast<size_t>(n);
    CHECK(CtcGreedy{}(alone)[0] == greedy[at]);
    const auto want = CtcPrefixBeam{}(alone)[0];
    REQUIRE(beam[at].size() == want.size());
    for (size_t i = 0; i < want.size(); ++i) {
      CHECK(beam[at][i].labels == want[i].labels);
      CHECK(beam[at][i].log_probability == want[i].log_probability);
    }
  }
  CHECK(beam[2].size() == 1);  // without frames: nothing was said, for sure
  CHECK(beam[2][0].labels.empty());
  CHECK(beam[2][0].log_probability == 0);
}

TEST_CASE("a beam that drops nothing has the probability of every sequence of labels", "[decoders]") {
  Context<Cpu> ctx;
  for (const long blank : {0L, 1L, 2L})
    for (const long time : {1L, 2L, 3L, 5L, 7L}) {
      const auto x = logits_of(ctx, {1, time, 3}, static_cast<std::uint64_t>(10 + time), 1.5);
      const auto want = all_probabilities(x, blank);
      const auto got = CtcPrefixBeam{.blank = blank, .width = 100000}(x)[0];
      REQUIRE(got.size() == want.size());
      for (size_t i = 0; i < got.size(); ++i) {
        CHECK(std::exp(got[i].log_probability) == Approx(want.at(got[i].labels)).epsilon(1e-12));
        if (i > 0) CHECK(got[i - 1].log_probability >= got[i].log_probability);
      }
    }
}

TEST_CASE("a narrow beam finds the best labels, with no more than their probability", "[decoders]") {
  Context<Cpu> ctx;
  int as_greedy = 0, found = 0;
  for (std::uint64_t seed = 0; seed < 40; ++seed) {
    const auto x = logits_of(ctx, {1, 7, 4}, 100 + seed, 1);
    const auto p = all_probabilities(x, 0);
    const auto best = std::max_element(p.begin(), p.end(), [](auto& a, auto& b) { return a.second < b.second; })->first;
    const auto got = CtcPrefixBeam{.width = 32}(x)[0];
    for (const auto& h : got) CHECK(std::exp(h.log_probability) <= p.at(h.labels) * (1 + 1e-12));
    found += got[0].labels == best;
    as_greedy += labels_of(CtcGreedy{}(x)[0]) == best;
  }
  // Flat logits: the best path often belongs to other labels than the best sum of paths.
  CHECK(found >= 39);  // of several hundred beginnings, 32 are followed
  CHECK(as_greedy < 30);
}

TEST_CASE("a beam's probability is that of the loss", "[decoders]") {
  Context<Cpu> ctx;
  const auto x = logits_of(ctx, {2, 60, 6}, 6, 12);
  const auto heard = CtcPrefixBeam{.width = 64}(x);
  const auto loss = values_of(ctc(x, transcripts_of(ctx, std::vector<Labels>{heard[0][0].labels, heard[1][0].labels})));
  for (size_t n = 0; n < 2; ++n)
    CHECK(-heard[n][0].log_probability == Approx(loss[n]).margin(0.02));  // what fell out of the beam
  // The likeliest labels alone are enough where the model is sure.
  CHECK(CtcPrefixBeam{.width = 64, .labels_per_frame = 3}(x)[0][0].labels == heard[0][0].labels);
}

TEST_CASE("decoders say what does not fit", "[decoders]") {
  Context<Cpu> ctx;
  const auto x = logits_of(ctx, {2, 3, 4}, 1);
  CHECK_THROWS_WITH(CtcGreedy{.blank = 4}(x), "ctc_greedy: the blank 4 is none of the 4 classes");
  CHECK_THROWS_AS(CtcPrefixBeam{.blank = -1}(x), ConfigError);
  CHECK_THROWS_AS(CtcPrefixBeam{.width = 0}(x), ConfigError);
  auto state = CtcGreedy{}.start(3);
  CHECK_THROWS_WITH(CtcGreedy{}(x, state), "ctc_greedy: the state has 3 utterances, but the logits are (2, 3, 4)");
  std::vector<double> bad(24, 0.0);
  bad[17] = std::numeric_limits<double>::quiet_NaN();
  CHECK_THROWS_WITH(CtcPrefixBeam{}(Sequence<Cpu>{input(ctx, Shape<3>{2, 3, 4}, bad), {}, 0}),
                    "ctc_prefix_beam: the logits of frame 1 of utterance 1 are not finite");
  bad[17] = -std::numeric_limits<double>::infinity();
  const auto found = CtcPrefixBeam{}(Sequence<Cpu>{input(ctx, Shape<3>{2, 3, 4}, bad), {}, 0});
  for (const auto& h : found[1]) CHECK(std::isfinite(h.log_probability));
}
