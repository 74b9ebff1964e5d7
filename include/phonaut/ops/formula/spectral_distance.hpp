#pragma once
// The terms of spectral losses. Light: the per-instruction-set kernel files include it.
#include "phonaut/core/math.hpp"

namespace phonaut::formula {

/// Logarithm of a non-negative feature that cannot fall to -inf: log_scale · ln(max(v, floor)), without slope below the
/// floor; or log_scale · ln(v + floor).
struct FlooredLog {
  bool shifted = false;
  float floor = 1e-5f;
  float log_scale = 1;

  /// g(a) - g(b). The scale comes last: a compiler may fuse a product and a difference, and then equal values would
  /// differ by a rounding, which |·| turns into a slope of full size.
  template <class S>
  PHONAUT_HD PHONAUT_INLINE S difference(S a, S b) const {
    return S(log_scale) * (logarithm(a) - logarithm(b));
  }
  template <class S>
  PHONAUT_HD PHONAUT_INLINE S slope(S v) const {
    if (shifted) return S(log_scale) / (v + S(floor));
    return select(v >= S(floor), S(log_scale) / max(v, S(floor)), S(0));
  }

 private:
  template <class S>
  PHONAUT_HD PHONAUT_INLINE S logarithm(S v) const {
    return log(shifted ? v + S(floor) : max(v, S(floor)));
  }
};

/// -1, 0 or 1.
template <class S>
PHONAUT_HD PHONAUT_INLINE S sign_of(S v) {
  return select(v > S(0), S(1), select(v < S(0), S(-1), S(0)));
}

}  // namespace phonaut::formula

namespace phonaut {

/// Weights of the terms; those of weight 0 are left out. Means are over the real frames of the batch and all their
/// bins, norms are Frobenius norms over the same; g is the logarithm below.
struct SpectralTerms {
  double difference = 0;    ///< mean |x - y|
  double log_distance = 0;  ///< mean |g(x) - g(y)|
  double log_square = 0;    ///< mean (g(x) - g(y))²
  double convergence = 0;   ///< ‖x - y‖ / ‖y‖; 0 if y is silent
  double log_root = 0;      ///< mean over frames of sqrt(mean over bins (g(x) - g(y))²)
  formula::FlooredLog log = {};

  PHONAUT_HD PHONAUT_INLINE bool any_log() const { return log_distance != 0 || log_square != 0 || log_root != 0; }
};

namespace kernel {

/// What the terms are made of: Σ|x-y|, Σ|gx-gy|, Σ(gx-gy)², Σ(x-y)², Σy², Σ_frames sqrt(mean (gx-gy)²).
constexpr long spectral_sums = 6;

/// Whether a row of (N · T) rows is a real frame.
PHONAUT_HD PHONAUT_INLINE bool real_row(long row, long time, const long* lengths) {
  return !lengths || row % time < lengths[row / time];
}

/// Factors of the gradients of the sums above.
template <class S>
struct SpectralFactors {
  S sum[spectral_sums];
};

}  // namespace kernel
}  // namespace phonaut
