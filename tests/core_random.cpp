// The counter-based generator against the published known answers, and the moments of what is made of its words.
#include <cmath>
#include <memory>
#include <vector>

#include "catch.hpp"
#include "phonaut/core/param.hpp"
#include "phonaut/core/random.hpp"

using namespace phonaut;

TEST_CASE("Philox 4x32-10 gives the known answers of Random123", "[core]") {
  // kat_vectors of Random123 1.14 (Salmon et al., SC 2011), as far as a 64-bit counter reaches.
  const Draws::Block zero = Draws{0, 0}.block(0);
  CHECK(zero.word[0] == 0x6627e8d5u);
  CHECK(zero.word[1] == 0xe169c58du);
  CHECK(zero.word[2] == 0xbc57ac4cu);
  CHECK(zero.word[3] == 0x9b00dbd8u);
}

TEST_CASE("rounds of Philox, with all counters and keys in use", "[core]") {
  // The other two known answers need the upper 64 bits of the counter, which Draws leaves at zero. The same rounds on
  // all four words give them; block() must agree with these rounds wherever both can go.
  const auto philox = [](std::array<std::uint32_t, 4> c, std::array<std::uint32_t, 2> k) {
    for (int round = 0; round < 10; ++round) {
      const std::uint64_t p0 = std::uint64_t(0xD2511F53u) * c[0], p1 = std::uint64_t(0xCD9E8D57u) * c[2];
      c = {static_cast<std::uint32_t>(p1 >> 32) ^ c[1] ^ k[0], static_cast<std::uint32_t>(p1),
           static_cast<std::uint32_t>(p0 >> 32) ^ c[3] ^ k[1], static_cast<std::uint32_t>(p0)};
      k = {k[0] + 0x9E3779B9u, k[1] + 0xBB67AE85u};
    }
    return c;
  };
  using Words = std::array<std::uint32_t, 4>;
  const std::uint32_t ones = 0xffffffffu;
  CHECK(philox({ones, ones, ones, ones}, {ones, ones}) == Words{0x408f276du, 0x41c83b0eu, 0xa20bc7c6u, 0x6d5451fdu});
  CHECK(philox({0x243f6a88u, 0x85a308d3u, 0x13198a2eu, 0x03707344u}, {0xa4093822u, 0x299f31d0u}) ==
        Words{0xd16cfe09u, 0x94fdcceb, 0x5001e420u, 0x24126ea1u});
  for (std::uint64_t n : {std::uint64_t(0), std::uint64_t(1), std::uint64_t(0xfedcba9876543210u)}) {
    const std::uint64_t key = 0x0123456789abcdefu;
    const Draws::Block got = Draws{key, 0}.block(n);
    const Words want = philox({static_cast<std::uint32_t>(n), static_cast<std::uint32_t>(n >> 32), 0, 0},
                              {static_cast<std::uint32_t>(key), static_cast<std::uint32_t>(key >> 32)});
    CHECK(Words{got.word[0], got.word[1], got.word[2], got.word[3]} == want);
  }
}

TEST_CASE("draws have the moments of their distributions", "[core]") {
  constexpr long n = 1 << 20;
  const Draws draws = Random{12, 0}.take(n);
  double sum = 0, square = 0, normal_sum = 0, normal_square = 0, fourth = 0, lowest = 1, highest = 0;
  std::array<long, 10> counts{};
  for (long i = 0; i < n; ++i) {
    const double u = draws.uniform(i), z = draws.normal(i);
    sum += u;
    square += u * u;
    lowest = std::min(lowest, u);
    highest = std::max(highest, u);
    normal_sum += z;
    normal_square += z * z;
    fourth += z * z * z * z;
    ++counts[static_cast<size_t>(draws.below(10, i))];
  }
  // Five standard errors of each estimate: sqrt(variance of the term / n).
  const auto within = [&](double got, double want, double variance) {
    return std::fabs(got / double(n) - want) < 5 * std::sqrt(variance / double(n));
  };
  CHECK(lowest >= 0);
  CHECK(highest < 1);
  CHECK(within(sum, 0.5, 1.0 / 12));
  CHECK(within(square, 1.0 / 3, 4.0 / 45));
  CHECK(within(normal_sum, 0, 1));
  CHECK(within(normal_square, 1, 2));
  CHECK(within(fourth, 3, 96));
  for (long count : counts) CHECK(within(double(count), 0.1, 0.09));
}

TEST_CASE("streams are disjoint, repeatable and bound to seed, step and purpose", "[core]") {
  Random a{7, 0}, b{7, 0};
  const Draws first = a.take(10), second = a.take(1), again = b.take(10);
  CHECK(first.uniform(3) == again.uniform(3));
  CHECK(second.first == 3);  // ten draws take three blocks of four
  CHECK(first.uniform(12) == second.uniform(0));
  CHECK(first.uniform(0) != second.uniform(0));
  CHECK(Random{8, 0}.take(1).uniform(0) != first.uniform(0));
  const Random random{7, 5};
  CHECK(random.at_step(3, 1).key == Random{7, 99}.at_step(3, 1).key);
  CHECK(random.at_step(3, 1).key != random.at_step(4, 1).key);
  CHECK(random.at_step(3, 1).key != random.at_step(3, 2).key);
  CHECK(random.at_step(3, 1).key != Random{8, 5}.at_step(3, 1).key);
}

TEST_CASE("initial values follow their rule", "[core]") {
  Context<Reference64> ctx({}, 3);
  const auto w = to_vector(make_param(ctx, Shape<2>{100, 400}, Init::fan_in(25)).tensor());
  double square = 0;
  for (double v : w) {
    REQUIRE(std::fabs(v) <= 0.2);
    square += v * v;
  }
  CHECK(square / 40000 == Approx(0.2 * 0.2 / 3).epsilon(0.02));
  CHECK(to_vector(make_param(ctx, Shape<1>{2}, Init::constant(3)).tensor()) == std::vector<double>{3, 3});
  CHECK(Init::normal(2).times(0.5).scale == 1);
}

TEST_CASE("contexts of one seed make and draw the same, of two seeds something else", "[core]") {
  std::vector<std::unique_ptr<Context<Reference>>> contexts;  // all are kept, so that each lies elsewhere
  const auto numbers = [&](std::uint64_t seed) {
    contexts.push_back(std::make_unique<Context<Reference>>(Reference{}, seed));
    Context<Reference>& ctx = *contexts.back();
    const auto weight = make_param(ctx, Shape<1>{8}, Init::uniform(1));
    auto all = values_of(ctx, weight.tensor());
    for (long i = 0; i < 8; ++i) all.push_back(ctx.random().take(1).uniform(0));
    return all;
  };
  const auto first = numbers(7);
  CHECK(numbers(7) == first);
  CHECK(numbers(8) != first);
}
