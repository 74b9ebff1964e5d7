#pragma once
#include "phonaut/core/math.hpp"
#include "phonaut/ops/formula/kernels.hpp"
#include "phonaut/ops/formula/pair.hpp"

namespace phonaut::formula {

/// Standard deviation from a log variance: exp(x / 2).
struct DeviationOfLogVariance {
  template <class S>
  PHONAUT_HD PHONAUT_INLINE S value(S x) const {
    return exp(S(0.5) * x);
  }
  template <class S>
  PHONAUT_HD PHONAUT_INLINE S slope(S x) const {
    return S(0.5) * exp(S(0.5) * x);
  }
};
PHONAUT_MAP_KERNELS(DeviationOfLogVariance)

/// Standard deviation softplus(x) + least.
struct DeviationOfSoftplus {
  float least = 0;
  template <class S>
  PHONAUT_HD PHONAUT_INLINE S value(S x) const {
    return softplus(x) + S(least);
  }
  template <class S>
  PHONAUT_HD PHONAUT_INLINE S slope(S x) const {
    return sigmoid(x);
  }
};
PHONAUT_MAP_KERNELS(DeviationOfSoftplus)

/// max(x, floor); the slope is 0 below the floor and 1 on it.
struct AtLeast {
  float floor = 0;
  template <class S>
  PHONAUT_HD PHONAUT_INLINE S value(S x) const {
    return max(x, S(floor));
  }
  template <class S>
  PHONAUT_HD PHONAUT_INLINE S slope(S x) const {
    return select(x < S(floor), S(0), S(1));
  }
};
PHONAUT_MAP_KERNELS(AtLeast)

/// KL(N(x, exp y) || N(0, 1)) = (x² + exp y - 1 - y) / 2, for mean x and log variance y.
struct KlOfLogVariance {
  template <class S>
  PHONAUT_HD PHONAUT_INLINE S value(S x, S y) const {
    return S(0.5) * (x * x + (expm1(y) - y));
  }
  template <class S>
  PHONAUT_HD PHONAUT_INLINE Slopes<S> slopes(S x, S y) const {
    return {x, S(0.5) * expm1(y)};
  }
};
PHONAUT_PAIR_KERNELS(KlOfLogVariance)

/// KL(N(x, σ²) || N(0, 1)) = (x² + σ² - 1) / 2 - log σ, for mean x and σ = softplus(y) + least.
struct KlOfSoftplus {
  float least = 0;
  template <class S>
  PHONAUT_HD PHONAUT_INLINE S value(S x, S y) const {
    const S deviation = softplus(y) + S(least);
    return S(0.5) * (x * x + deviation * deviation - S(1)) - log(deviation);
  }
  template <class S>
  PHONAUT_HD PHONAUT_INLINE Slopes<S> slopes(S x, S y) const {
    const S deviation = softplus(y) + S(least);
    return {x, (deviation - S(1) / deviation) * sigmoid(y)};
  }
};
PHONAUT_PAIR_KERNELS(KlOfSoftplus)

/// Free bits, element by element: max(F, floor). The slope is 0 below the floor and F's own on and above it.
template <class F>
struct WithFloor {
  F inner;
  float floor = 0;
  template <class S>
  PHONAUT_HD PHONAUT_INLINE S value(S x, S y) const {
    return max(inner.value(x, y), S(floor));
  }
  template <class S>
  PHONAUT_HD PHONAUT_INLINE Slopes<S> slopes(S x, S y) const {
    const Slopes<S> slope = inner.slopes(x, y);
    const auto below = inner.value(x, y) < S(floor);
    return {select(below, S(0), slope.x), select(below, S(0), slope.y)};
  }
};
using FlooredKlOfLogVariance = WithFloor<KlOfLogVariance>;
using FlooredKlOfSoftplus = WithFloor<KlOfSoftplus>;
PHONAUT_PAIR_KERNELS(FlooredKlOfLogVariance)
PHONAUT_PAIR_KERNELS(FlooredKlOfSoftplus)

}  // namespace phonaut::formula
