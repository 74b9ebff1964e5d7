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

/// What one real frame, and one bin of it, counts in a mean over the batch.
struct SpectralShares {
  double frame = 0, bin = 0;
};

/// The weighted sum of the terms.
template <class W>
PHONAUT_HD PHONAUT_INLINE W spectral_value(const SpectralTerms& terms, const SpectralShares& share, const W* sums) {
  using math::sqrt;
  W total = W(terms.difference * share.bin) * sums[0] + W(terms.log_distance * share.bin) * sums[1] +
            W(terms.log_square * share.bin) * sums[2] + W(terms.log_root * share.frame) * sums[5];
  if (terms.convergence != 0 && sums[4] > W(0)) total += W(terms.convergence) * sqrt(sums[3] / sums[4]);
  return total;
}
/// Its derivatives by the sums, times `d`.
template <class S, class W>
PHONAUT_HD PHONAUT_INLINE void spectral_factors(const SpectralTerms& terms, const SpectralShares& share, W d,
                                                const W* sums, S* factors) {
  using math::sqrt;
  factors[0] = static_cast<S>(d * W(terms.difference * share.bin));
  factors[1] = static_cast<S>(d * W(terms.log_distance * share.bin));
  factors[2] = static_cast<S>(d * W(terms.log_square * share.bin));
  factors[3] = factors[4] = S(0);
  factors[5] = static_cast<S>(d * W(terms.log_root * share.frame));
  if (terms.convergence != 0 && sums[3] > W(0) && sums[4] > W(0)) {
    // sqrt(s3 / s4): its derivatives are 1 / (2 sqrt(s3 s4)) and -sqrt(s3 / s4) / (2 s4).
    const W half = d * W(0.5 * terms.convergence);
    factors[3] = static_cast<S>(half / sqrt(sums[3] * sums[4]));
    factors[4] = static_cast<S>(-half * sqrt(sums[3] / sums[4]) / sums[4]);
  }
}

}  // namespace kernel
}  // namespace phonaut
