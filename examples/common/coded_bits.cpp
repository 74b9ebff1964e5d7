#include "common/coded_bits.hpp"

#include <algorithm>
#include <cmath>
#include <phonaut/core/error.hpp>

double coded_bits(std::span<const long> seen, std::span<const long> coded) {
  if (seen.size() != coded.size())
    throw phonaut::ConfigError(
        phonaut::concat("coded_bits: a table of ", seen.size(), " entries cannot code ", coded.size()));
  double total = 0, count = 0, bits = 0;
  for (const long n : seen) total += static_cast<double>(n) + 0.5;
  for (size_t i = 0; i < coded.size(); ++i) {
    count += static_cast<double>(coded[i]);
    bits -= static_cast<double>(coded[i]) * std::log2((static_cast<double>(seen[i]) + 0.5) / total);
  }
  return count > 0 ? std::min(bits / count, std::log2(static_cast<double>(seen.size()))) : 0;
}
