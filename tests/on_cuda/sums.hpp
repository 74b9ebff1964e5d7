#pragma once
// What sums of products are in double precision, and how far results may be from it.
#include <cmath>
#include <vector>

namespace phonaut::testing {

/// Results, and of each element the sum of the sizes of what was added up.
struct Sums {
  std::vector<double> value, size;
  explicit Sums(const std::vector<float>& start) : value(start.begin(), start.end()), size(start.size(), 1e-30) {
    for (size_t i = 0; i < start.size(); ++i) size[i] += std::fabs(value[i]);
  }
  void add(size_t i, double left, double right) {
    value[i] += left * right;
    size[i] += std::fabs(left * right);
  }
  /// The greatest error, in units of those sizes.
  double error(const std::vector<float>& got) const {
    double worst = 0;
    for (size_t i = 0; i < got.size(); ++i) {
      const double off = std::fabs(static_cast<double>(got[i]) - value[i]) / size[i];
      if (!(off <= worst)) worst = off;  // NaN is worse than any
    }
    return worst;
  }
};

}  // namespace phonaut::testing
