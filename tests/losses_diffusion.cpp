// Codes hidden for training and revealed in decoding: as many as the schedule says, and weights that make the loss a
// bound.
#include <algorithm>
#include <cmath>
#include <numeric>

#include "catch.hpp"
#include "phonaut/losses/discrete_diffusion.hpp"
#include "phonaut/losses/generative.hpp"
#include "phonaut/testing/gradient_check.hpp"

using namespace phonaut;
using namespace phonaut::testing;

namespace {

constexpr MaskSchedule schedules[] = {MaskSchedule::cosine, MaskSchedule::linear, MaskSchedule::square,
                                      MaskSchedule::cube, MaskSchedule::root};

long count(const std::vector<char>& marks, long from, long to) {
  return std::accumulate(marks.begin() + from, marks.begin() + to, 0L);
}

}  // namespace

TEST_CASE("mask schedules fall from all to nothing, with their weights", "[losses]") {
  for (const MaskSchedule schedule : schedules) {
    INFO("schedule " << static_cast<int>(schedule));
    CHECK(hidden_share(schedule, 0) == 1);
    CHECK(std::fabs(hidden_share(schedule, 1)) < 1e-15);
    double last = 1;
    for (int twentieth = 1; twentieth < 20; ++twentieth) {
      const double r = 0.05 * twentieth;
      const double share = hidden_share(schedule, r), h = 1e-6;
      CHECK(share < last);
      last = share;
      // -(log γ)' by central differences, whose error is of the order of h².
      const double slope =
          (std::log(hidden_share(schedule, r + h)) - std::log(hidden_share(schedule, r - h))) / (2 * h);
      CHECK(bound_weight(schedule, r) == Approx(-slope).epsilon(1e-6));
    }
    long before = 20;
    for (long step = 1; step <= 8; ++step) {
      const long left = hidden_after(schedule, step, 8, 20);
      CHECK((left <= before && left >= 0));
      before = left;
    }
    CHECK(before == 0);
  }
  CHECK(hidden_after(MaskSchedule::cosine, 4, 8, 100) == 70);  // cos 45°
  CHECK_THROWS_AS(hidden_share(MaskSchedule::linear, 1.5), ConfigError);
  CHECK_THROWS_AS(bound_weight(MaskSchedule::linear, 1), ConfigError);
  CHECK_THROWS_AS(hidden_after(MaskSchedule::linear, 0, 8, 1), ConfigError);
}

TEST_CASE("as many frames are hidden as the schedule says, none of them padding", "[losses]") {
  Context<Cpu> ctx;
  const Lengths lengths = lengths_of(ctx, std::vector<long>{50, 20, 1, 0});
  for (const MaskSchedule schedule : schedules)
    for (int round = 0; round < 20; ++round) {
      const auto drawn = draw_masked_frames(ctx, 4, 50, lengths, {.schedule = schedule, .spread = round % 2 == 1});
      for (long n = 0; n < 4; ++n) {
        const long length = lengths.data()[n], hidden = count(drawn.marks, 50 * n, 50 * n + length);
        const double r = drawn.way[static_cast<size_t>(n)];
        CHECK(hidden == static_cast<long>(std::ceil(hidden_share(schedule, r) * static_cast<double>(length))));
        CHECK(count(drawn.marks, 50 * n + length, 50 * (n + 1)) == 0);
        CHECK(drawn.weights[static_cast<size_t>(n)] == bound_weight(schedule, r));
        if (round % 2 == 1 && n > 0) {  // a quarter further than the one before
          const double step = r - drawn.way[static_cast<size_t>(n - 1)];
          CHECK(std::fabs(step - (step > 0 ? 0.25 : -0.75) * 0.998) < 1e-6);
        }
      }
    }
  // Every frame is as likely as any other.
  std::vector<long> times(10, 0);
  for (int round = 0; round < 4000; ++round) {
    const auto drawn = draw_masked_frames(ctx, 1, 10, {}, {.schedule = MaskSchedule::linear});
    for (size_t t = 0; t < 10; ++t) times[t] += drawn.marks[t];
  }
  for (const long n : times) CHECK(std::labs(n - 2200) < 160);  // (T + 1) / 2T of 4000, five deviations of 31.5
  CHECK_THROWS_AS(draw_masked_frames(ctx, 1, 10, {}, {.margin = 0}), ConfigError);
}

TEST_CASE("weighted masks count every frame once on average: the loss is a bound", "[losses]") {
  // If every guess costs one nat, the loss is one nat for each frame: E Σ w = ∫ w γ dr = ∫ -γ' dr = 1.
  Context<Cpu> ctx;
  for (const MaskSchedule schedule : schedules) {
    INFO("schedule " << static_cast<int>(schedule));
    double total = 0;
    constexpr int rounds = 400;
    for (int round = 0; round < rounds; ++round) {
      const auto drawn = draw_masked_frames(ctx, 64, 30, {}, {.schedule = schedule, .exact = false, .spread = true});
      for (long n = 0; n < 64; ++n)
        total += drawn.weights[static_cast<size_t>(n)] * static_cast<double>(count(drawn.marks, 30 * n, 30 * (n + 1))) /
                 (30.0 * 64 * rounds);
    }
    // Without what the margins cut off, 3 % for the root schedule. A batch's deviation is below 0.05 where weights are
    // largest, that of the mean of 400 below 0.0025.
    const double want = (hidden_share(schedule, 1e-3) - hidden_share(schedule, 1 - 1e-3)) / (1 - 2e-3);
    CHECK(total == Approx(want).margin(0.01));
  }
}

TEST_CASE("the diffusion loss of uniform guesses is log V times what is hidden", "[losses]") {
  Context<Cpu> ctx;
  const Sequence<Cpu> logits{ctx.constant(ctx.zeros(Shape<3>{2, 4, 8})), lengths_of(ctx, std::vector<long>{4, 2}), 0};
  const std::vector<long> labels = {0, 1, 2, 3, 4, 5, 99, 99};  // padding is not looked at
  const std::vector<char> marks = {1, 0, 1, 0, 0, 1, 1, 1};
  const auto loss = masked_diffusion_loss(logits, labels, marks, {2.0, 3.0});
  CHECK(static_cast<double>(item(loss)) == Approx(std::log(8.0) * (2 * 2 + 3) / 6));
  CHECK(item(masked_diffusion_loss(logits, labels, std::vector<char>(8, 0), {2.0, 3.0})) == 0);
  CHECK_THROWS_AS(masked_diffusion_loss(logits, labels, marks, {1.0}), ShapeError);
  CHECK_THROWS_AS(masked_diffusion_loss(logits, labels, std::vector<char>(7, 0), {1.0, 1.0}), ShapeError);
}

TEST_CASE("SoundStorm hides one level in part, finer ones whole, coarser ones and the prompt not at all", "[losses]") {
  Context<Cpu> ctx;
  const Lengths lengths = lengths_of(ctx, std::vector<long>{30, 12, 0});
  std::vector<long> levels(4, 0);
  double guessed = 0, frames = 0;
  for (int round = 0; round < 2000; ++round) {
    const auto drawn = draw_masked_codes(ctx, 3, 30, 4, lengths, round % 2 == 0);
    for (long n = 0; n < 3; ++n) {
      const long level = drawn.level[static_cast<size_t>(n)], prompt = drawn.prompt[static_cast<size_t>(n)],
                 length = lengths.data()[n];
      ++levels[static_cast<size_t>(level)];
      bool right = prompt == 0 || (round % 2 == 0 && prompt < length);
      for (long t = 0; t < 30; ++t)
        for (long q = 0; q < 4; ++q) {
          const bool behind = t >= prompt && t < length, guess = drawn.guess[static_cast<size_t>(n * 30 + t)];
          const bool want = behind && (q > level || (q == level && guess));
          right &= (drawn.hidden[static_cast<size_t>((n * 30 + t) * 4 + q)] != 0) == want && (behind || !guess);
        }
      CHECK(right);
      if (n == 0 && round % 2 == 1) guessed += static_cast<double>(count(drawn.guess, 0, 30)), frames += 30;
    }
  }
  for (const long n : levels) CHECK(std::labs(n - 1500) < 170);  // five deviations
  // The mean of cos over a quarter turn is 2 / π, with a deviation of 0.31 / √1000 for as many utterances.
  CHECK(guessed / frames == Approx(0.6366).margin(0.05));
  CHECK_THROWS_AS(draw_masked_codes(ctx, 1, 10, 0, {}), ConfigError);

  const Codes<Cpu> codes = tensor_of<Cpu, 3, std::int32_t>(Shape<3>{1, 2, 2}, std::vector<int>{5, 6, 7, 8});
  const auto shown = hide_codes(ctx, codes, {0, 1, 0, 1}, 1024);
  CHECK(std::vector<std::int32_t>(shown.data(), shown.data() + 4) == std::vector<std::int32_t>{5, 1024, 7, 1024});
  CHECK_THROWS_AS(hide_codes(ctx, codes, {0, 1}, 1024), ShapeError);
}

TEST_CASE("the least confident guesses stay hidden", "[losses]") {
  const std::vector<char> marks = {1, 0, 1, 1, 1};
  CHECK(least_confident({-3, -9, -1, -3, -2}, marks, 2) == std::vector<char>{1, 0, 0, 1, 0});
  CHECK(least_confident({-3, -9, -1, -3, -2}, marks, 1) == std::vector<char>{1, 0, 0, 0, 0});
  CHECK(least_confident({-3, -9, -1, -3, -2}, marks, 0) == std::vector<char>(5, 0));
  CHECK_THROWS_AS(least_confident({0, 0, 0, 0, 0}, marks, 5), ShapeError);
  CHECK_THROWS_AS(least_confident({0}, marks, 1), ShapeError);
}

TEST_CASE("flows go from noise to data at the speed that they say", "[losses]") {
  Context<Reference64> ctx;
  const auto draw_of = [&](std::uint64_t seed) {
    const auto values = normal(Shape<3>{3, 2, 4}, seed);
    return input(ctx, values.shape, values.data);
  };
  const auto noise = draw_of(1), data = draw_of(2);
  for (const FlowPath path : {FlowPath::straight, FlowPath::trigonometric}) {
    const auto at = [&](double t) { return flow_point(noise, data, std::vector<double>(3, t), 0, path); };
    const auto start = values_of(at(0).position), end = values_of(at(1).position);
    const auto x0 = values_of(noise), x1 = values_of(data);
    for (size_t i = 0; i < x0.size(); ++i) {
      CHECK(start[i] == Approx(x0[i]).margin(1e-12));
      CHECK(end[i] == Approx(x1[i]).margin(1e-12));
    }
    const double h = 1e-5;
    const auto before = values_of(at(0.3 - h).position), after = values_of(at(0.3 + h).position),
               speed = values_of(at(0.3).velocity);
    for (size_t i = 0; i < speed.size(); ++i)
      CHECK(speed[i] == Approx((after[i] - before[i]) / (2 * h)).margin(1e-7));  // differences of rounding / h
  }
  CHECK_THROWS_AS(flow_point(noise, data, std::vector<double>(3, 0.5), 0.1, FlowPath::trigonometric), ConfigError);
  CHECK_THROWS_AS(flow_point(noise, data, std::vector<double>(2, 0.5)), ShapeError);

  long middle = 0, flat = 0;
  const auto normal_times = flow_times(ctx, 4000, {.logit_normal = true}), uniform = flow_times(ctx, 4000);
  for (const double t : normal_times) middle += t > 0.25 && t < 0.75;
  for (const double t : uniform) flat += t > 0.25 && t < 0.75;
  // |N(0, 1)| < log 3 with probability 0.728; deviations are 28 and 32.
  CHECK(std::labs(middle - 2912) < 150);
  CHECK(std::labs(flat - 2000) < 160);
  CHECK_THROWS_AS(flow_times(ctx, 1, {.deviation = 0}), ConfigError);
}
