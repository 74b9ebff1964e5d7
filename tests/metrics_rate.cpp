// Rates of codes and of work.
#include <cmath>

#include "catch.hpp"
#include "phonaut/core/error.hpp"
#include "phonaut/metrics/rate.hpp"

using namespace phonaut;
using Numbers = std::vector<double>;

TEST_CASE("bit rates of published codecs", "[metrics]") {
  // EnCodec at 75 Hz with 8 books of 1024: 6 kbit/s. Mimi at 12.5 Hz with 8 books of 2048: 1.1 kbit/s.
  CHECK(bit_rate(75, std::vector<long>(8, 1024)) == Approx(6000));
  CHECK(bit_rate(12.5, std::vector<long>(8, 2048)) == Approx(1100));
  CHECK(bit_rate(50, std::vector<long>{8, 5, 5, 5}) == Approx(50 * std::log2(1000.0)));
  CHECK(bit_rate(50, {}) == 0);
  // Books that are used evenly cost what they cost without entropy coding.
  CHECK(entropy_bit_rate(75, Numbers(8, 10)) == Approx(6000));
  CHECK(entropy_bit_rate(50, Numbers{0, 3.5}) == 175);
  CHECK_THROWS_WITH(bit_rate(0, {}), "bit_rate: there cannot be 0 frames per second");
  CHECK_THROWS_AS(bit_rate(50, std::vector<long>{4, 0}), ConfigError);
  CHECK_THROWS_AS(entropy_bit_rate(50, Numbers{std::nan("")}), ConfigError);
}

TEST_CASE("real-time factors are those of utterances, whatever their order", "[metrics]") {
  const auto one = real_time_factor(Numbers{1}, Numbers{4});
  CHECK(one.median == 0.25);
  CHECK(one.slowest == 0.25);
  CHECK(one.overall == 0.25);
  const auto three = real_time_factor(Numbers{3, 1, 2}, Numbers{10, 10, 10});
  CHECK(three.median == Approx(0.2));
  CHECK(three.slowest == Approx(0.29));
  CHECK(three.overall == Approx(0.2));
  CHECK_THROWS_AS(real_time_factor(Numbers{}, Numbers{}), ShapeError);
  CHECK_THROWS_AS(real_time_factor(Numbers{1}, Numbers{1, 2}), ShapeError);
  CHECK_THROWS_WITH(real_time_factor(Numbers{1}, Numbers{0}), "real_time_factor: utterance 0 took 1 s for 0 s");
}
