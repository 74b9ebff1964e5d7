#include "phonaut/metrics/rate.hpp"

#include <algorithm>
#include <cmath>
#include <vector>

#include "phonaut/core/error.hpp"

namespace phonaut {

namespace {

void check_frame_rate(const char* op, double frames_per_second) {
  if (!(frames_per_second > 0) || !std::isfinite(frames_per_second))
    throw ConfigError(concat(op, ": there cannot be ", frames_per_second, " frames per second"));
}

}  // namespace

double bit_rate(double frames_per_second, std::span<const long> entries) {
  check_frame_rate("bit_rate", frames_per_second);
  double bits = 0;
  for (size_t k = 0; k < entries.size(); ++k) {
    if (entries[k] < 1) throw ConfigError(concat("bit_rate: book ", k, " has ", entries[k], " entries"));
    bits += std::log2(static_cast<double>(entries[k]));
  }
  return frames_per_second * bits;
}

double entropy_bit_rate(double frames_per_second, std::span<const double> entropy_bits) {
  check_frame_rate("entropy_bit_rate", frames_per_second);
  double bits = 0;
  for (size_t k = 0; k < entropy_bits.size(); ++k) {
    if (!(entropy_bits[k] >= 0))
      throw ConfigError(concat("entropy_bit_rate: book ", k, " has an entropy of ", entropy_bits[k], " bits"));
    bits += entropy_bits[k];
  }
  return frames_per_second * bits;
}

RealTimeFactor real_time_factor(std::span<const double> work, std::span<const double> sound) {
  if (work.size() != sound.size() || work.empty())
    throw ShapeError(concat("real_time_factor: there are ", work.size(), " times of work and ", sound.size(),
                            " of sound; need one of each for at least one utterance"));
  std::vector<double> factors;
  double all_work = 0, all_sound = 0;
  for (size_t i = 0; i < work.size(); ++i) {
    if (!(work[i] >= 0) || !(sound[i] > 0))
      throw ConfigError(concat("real_time_factor: utterance ", i, " took ", work[i], " s for ", sound[i], " s"));
    factors.push_back(work[i] / sound[i]);
    all_work += work[i], all_sound += sound[i];
  }
  std::sort(factors.begin(), factors.end());
  const auto percentile = [&](double share) {
    const double place = share * static_cast<double>(factors.size() - 1);
    const auto below = static_cast<size_t>(place);
    const size_t above = std::min(below + 1, factors.size() - 1);
    return factors[below] + (place - static_cast<double>(below)) * (factors[above] - factors[below]);
  };
  return {percentile(0.5), percentile(0.95), all_work / all_sound};
}

}  // namespace phonaut
