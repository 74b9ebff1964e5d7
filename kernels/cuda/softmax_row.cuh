#pragma once
// The sum of exponentials of a row, which softmax and the losses over classes share.
#include "phonaut/core/math.hpp"
#include "reduce.cuh"

namespace phonaut::cuda {

/// Σ exp(x - largest); of no entries, 0 and 0.
struct Exponentials {
  float largest;
  double sum;
};

__device__ __forceinline__ Exponentials exponentials(const Team& team, const float* x, long n) {
  if (n <= 0) return {0, 0};
  float largest = x[0];
  for (long c = team.rank; c < n; c += team.size) largest = largest < x[c] ? x[c] : largest;
  largest = team.max(largest);
  double sum = 0;
  for (long c = team.rank; c < n; c += team.size) sum += static_cast<double>(math::exp(x[c] - largest));
  return {largest, team.sum(sum)};
}

/// y = softmax of the first n entries of x, 0 in the others up to `width`. May work in place.
__device__ __forceinline__ void softmax_row(const Team& team, const float* x, long n, long width, float* y) {
  const Exponentials e = exponentials(team, x, n);
  const auto scale = static_cast<float>(1 / e.sum);
  for (long c = team.rank; c < n; c += team.size) y[c] = math::exp(x[c] - e.largest) * scale;
  for (long c = n + team.rank; c < width; c += team.size) y[c] = 0;
}

}  // namespace phonaut::cuda
