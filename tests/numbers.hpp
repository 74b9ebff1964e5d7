#pragma once
// Numbers to compute with, and how far results are from each other.
#include <cmath>
#include <random>
#include <vector>

namespace phonaut::testing {

/// n numbers of a normal distribution, the same for a seed on every machine that has this standard library.
inline std::vector<float> numbers(long n, unsigned seed) {
  std::mt19937 generator(seed);
  std::normal_distribution<float> normal;
  std::vector<float> x(static_cast<size_t>(n));
  for (float& v : x) v = normal(generator);
  return x;
}

/// ‖got - want‖ / ‖want‖.
inline double relative_error(const std::vector<float>& got, const std::vector<float>& want) {
  double off = 0, size = 0;
  for (size_t i = 0; i < want.size(); ++i) {
    off += std::pow(static_cast<double>(got[i]) - static_cast<double>(want[i]), 2);
    size += std::pow(static_cast<double>(want[i]), 2);
  }
  return std::sqrt(off / size);
}

}  // namespace phonaut::testing
