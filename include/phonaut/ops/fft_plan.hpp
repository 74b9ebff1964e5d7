#pragma once
// The tables of a Fourier transform, computed once, in double precision.
#include <cmath>
#include <vector>

#include "phonaut/core/error.hpp"
#include "phonaut/ops/fft.hpp"

namespace phonaut {

/// The number type of tables for a backend with scalars S: float for float, double for doubles and dual numbers.
template <class S>
using TableOf = std::conditional_t<std::is_same_v<S, float>, float, double>;

/// Owns what FftTables point to. Immutable: any number of threads may use one plan.
template <class T>
class FftPlan {
 public:
  /// For real frames of `size` samples; any size from 1 on. Throws ConfigError below 1.
  explicit FftPlan(long size) {
    if (size < 1) throw ConfigError(concat("fft: the size must be at least 1, got ", size));
    tables_.size = size;
    tables_.points = size % 2 == 0 ? size / 2 : size;
    std::vector<long> radices;
    long rest = tables_.points;
    for (long radix : {4, 2, 3, 5})
      for (; rest % radix == 0; rest /= radix) radices.push_back(radix);
    for (long prime = 7; rest > 1; prime += 2) {
      if (prime * prime > rest) prime = rest;
      for (; rest % prime == 0; rest /= prime) radices.push_back(prime);
    }
    // Offsets first: the vector may move while it grows.
    std::vector<std::pair<size_t, size_t>> at;
    long groups = 1;
    for (long radix : radices) {
      const long span = tables_.points / (groups * radix);
      FftStage<T>& stage = tables_.stage[tables_.stages++];
      stage.radix = radix;
      stage.groups = groups;
      stage.span = span;
      at.emplace_back(values_.size(), 0);
      for (long s = 0; s < span; ++s)
        for (long u = 1; u < radix; ++u) append(u * groups * s, tables_.points);
      at.back().second = values_.size();
      if (radix > 5)
        for (long u = 0; u < radix; ++u) append(u, radix);
      groups *= radix;
    }
    const size_t split = values_.size();
    if (size % 2 == 0)
      for (long k = 0; 4 * k <= size; ++k) append(k, size);
    for (size_t i = 0; i < at.size(); ++i) {
      tables_.stage[i].twiddle = values_.data() + at[i].first;
      tables_.stage[i].roots = values_.data() + at[i].second;
    }
    tables_.split = values_.data() + split;
  }
  FftPlan(FftPlan&&) noexcept = default;  // moving a vector keeps its elements in place
  FftPlan& operator=(FftPlan&&) noexcept = default;

  const spectral::FftTables<T>& tables() const { return tables_; }
  long size() const { return tables_.size; }
  long bins() const { return tables_.bins(); }

 private:
  template <class U>
  using FftStage = spectral::FftStage<U>;

  /// exp(-2πi k / n).
  void append(long k, long n) {
    const double angle = 6.283185307179586476925 * static_cast<double>(k % n) / static_cast<double>(n);
    values_.push_back(static_cast<T>(std::cos(angle)));
    values_.push_back(static_cast<T>(-std::sin(angle)));
  }

  spectral::FftTables<T> tables_;
  std::vector<T> values_;
};

}  // namespace phonaut
