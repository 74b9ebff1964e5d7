// SpecAugment and span masks: that they hide what they say, draw alike everywhere, and leave padding alone.
#include <algorithm>
#include <cmath>
#include <set>

#include "catch.hpp"
#include "phonaut/frontends/span_masks.hpp"
#include "phonaut/frontends/spec_augment.hpp"
#include "phonaut/testing/gradient_check.hpp"

using namespace phonaut;
using namespace phonaut::testing;

namespace {

Sequence<Cpu> features(Context<Cpu>& ctx, const Shape<3>& shape, const std::vector<long>& lengths) {
  return sequence_of(input(ctx, shape, normal(shape, 1, 1, 5).data), lengths);
}

}  // namespace

TEST_CASE("SpecAugment hides no more than it may", "[frontends]") {
  Context<Cpu> ctx;
  ctx.train();
  const SpecAugment options{.probability = 1,
                            .warp = 0,
                            .frame_masks = 3,
                            .frame_width = 20,
                            .frame_share = 0.4,
                            .channel_masks = 2,
                            .channel_width = 4,
                            .fill = SpecAugment::Fill::zero};
  const std::vector<long> lengths = {100, 31, 3, 0};
  const auto x = features(ctx, {4, 100, 16}, lengths);
  const auto before = values_of(x.frames);
  long all_frames = 0, all_channels = 0;
  for (int round = 0; round < 100; ++round) {
    const auto after = values_of(spec_augment(x, options).frames);
    for (size_t n = 0; n < 4; ++n) {
      std::set<long> frames, channels;
      const auto hidden = [&](long t, long c) {
        return after[(n * 100 + static_cast<size_t>(t)) * 16 + static_cast<size_t>(c)] == 0;
      };
      for (long t = 0; t < lengths[n]; ++t) {
        bool whole = true;
        for (long c = 0; c < 16; ++c) whole = whole && hidden(t, c);
        if (whole) frames.insert(t);
      }
      for (long c = 0; c < 16; ++c) {
        bool whole = lengths[n] > 0;
        for (long t = 0; t < lengths[n]; ++t) whole = whole && hidden(t, c);
        if (whole) channels.insert(c);
      }
      long wrong = 0;
      for (long t = 0; t < 100; ++t)
        for (long c = 0; c < 16; ++c) {
          const size_t at = (n * 100 + static_cast<size_t>(t)) * 16 + static_cast<size_t>(c);
          const bool gone = t < lengths[n] && (frames.count(t) || channels.count(c));
          wrong += after[at] != (gone ? 0 : before[at]);
        }
      CHECK(wrong == 0);
      CHECK(static_cast<double>(frames.size()) <= 0.4 * static_cast<double>(lengths[n]));
      CHECK(channels.size() <= 8);
      all_frames += static_cast<long>(frames.size());
      all_channels += static_cast<long>(channels.size());
    }
  }
  CHECK(all_frames > 1000);  // about 14 of 100 and 5 of 31, a hundred times
  CHECK(all_channels > 700);
}

TEST_CASE("SpecAugment draws alike with any number of threads, and anew each time", "[frontends]") {
  std::vector<float> first;
  for (const int threads : {1, 3}) {
    Context<Cpu> ctx(Cpu{}, 7);
    ctx.threads(threads);
    ctx.train();
    const auto x = features(ctx, {2, 300, 20}, {300, 250});
    const auto y = values_of(spec_augment(x).frames);
    CHECK(y != values_of(spec_augment(x).frames));
    if (first.empty()) first = y;
    CHECK(y == first);
    // A longer neighbour does not change an utterance.
    ctx.random() = Random{7, 0};
    const auto other = features(ctx, {2, 300, 20}, {300, 300});
    const auto z = values_of(spec_augment(other).frames);
    CHECK(std::equal(z.begin(), z.begin() + 300 * 20, first.begin()));
    ctx.infer();
    CHECK(values_of(spec_augment(x).frames) == values_of(x.frames));
  }
}

TEST_CASE("SpecAugment leaves about a tenth of all utterances alone", "[frontends]") {
  Context<Cpu> ctx;
  ctx.train();
  const auto x = features(ctx, {200, 40, 8}, std::vector<long>(200, 40));
  const auto before = values_of(x.frames), after = values_of(spec_augment(x, {.channel_masks = 8}).frames);
  long same = 0;
  for (long n = 0; n < 200; ++n)
    same += std::equal(before.begin() + n * 320, before.begin() + (n + 1) * 320, after.begin() + n * 320);
  CHECK(same > 5);  // 20 are expected, with a deviation of 4
  CHECK(same < 40);
}

TEST_CASE("a warp moves one frame and keeps the length", "[frontends]") {
  Context<Cpu> ctx;
  std::vector<double> ramp;
  for (int t = 0; t < 50; ++t) ramp.push_back(t);
  const auto x = sequence_of(input(ctx, Shape<3>{1, 50, 1}, ramp), std::vector{50});
  const auto y = values_of(warp_time(x, lengths_of(ctx, std::vector{20}), lengths_of(ctx, std::vector{30})).frames);
  // The border between frames 19 and 20 now lies between 29 and 30; this kernel bends straight lines by a 20th at
  // most (that with a = -1/2 would not).
  CHECK(y[29] < 19.5f);
  CHECK(y[30] > 19.5f);
  for (size_t t = 4; t < 26; ++t) CHECK(y[t] == Approx((t + 0.5) * 20 / 30 - 0.5).margin(0.05));
  CHECK_THROWS_WITH(warp_time(x, lengths_of(ctx, std::vector{20}), lengths_of(ctx, std::vector{50})),
                    "warp_time: frame 20 of utterance 0 cannot move to 50: both must be in 1 … 49");
}

TEST_CASE("span masks hide spans inside utterances", "[frontends]") {
  Context<Cpu> ctx;
  const std::vector<long> lengths = {200, 63, 10, 9, 0};
  const auto x = features(ctx, {5, 200, 1}, lengths);
  double share = 0;
  for (int round = 0; round < 100; ++round) {
    const auto marks = draw_span_masks(x);
    REQUIRE(marks.size() == 1000);
    for (size_t n = 0; n < 5; ++n) {
      const auto row = marks.begin() + static_cast<long>(n) * 200;
      CHECK(std::count(row + lengths[n], row + 200, 1) == 0);
      for (long t = 0; t < 200;) {  // every run of marks has room for a span
        if (!row[t]) {
          ++t;
          continue;
        }
        const long begin = t;
        while (t < 200 && row[t]) ++t;
        CHECK(t - begin >= 10);
      }
    }
    share += static_cast<double>(std::count(marks.begin(), marks.begin() + 200, 1)) / 200;
    CHECK(std::count(marks.begin() + 400, marks.begin() + 600, 1) == 10);  // room for one
    CHECK(std::count(marks.begin() + 600, marks.end(), 1) == 0);           // room for none
  }
  CHECK(share / 100 == Approx(0.49).margin(0.03));
  CHECK_THROWS_AS(draw_span_masks(x, {.span = 0}), ConfigError);
}

TEST_CASE("masks say what does not fit", "[frontends]") {
  Context<Cpu> ctx;
  ctx.train();
  const auto x = features(ctx, {1, 10, 4}, {10});
  const auto zero = ctx.constant(ctx.zeros(Shape<1>{1}));
  CHECK_THROWS_WITH(mask_bands(x, {{{{3, 11}}}, {{}}}, zero),
                    "mask_bands: frames 3 … 11 of utterance 0 are not within 0 … 10");
  CHECK_THROWS_AS(mask_bands(x, {{{}}, {{{2, 1}}}}, zero), ShapeError);
  CHECK_THROWS_AS(mask_bands(x, {{}, {}}, zero), ShapeError);
  CHECK_THROWS_AS(mask_bands(x, {{{}}, {{}}}, ctx.constant(ctx.zeros(Shape<1>{2}))), ShapeError);
  CHECK_THROWS_AS(spec_augment(x, {.probability = 2}), ConfigError);
  CHECK_THROWS_AS(spec_augment(x, {.warp = -1}), ConfigError);
}
