#pragma once
// The Balancer of the Zipformer recipe: a gradient that pulls each channel's statistics back into a range.
// Yao et al., "Zipformer", 2023, section 3.4.
#include <math.h>

#include <algorithm>

#include "phonaut/core/math.hpp"
#include "phonaut/ops/column_moments.hpp"
#include "phonaut/ops/shape.hpp"

namespace phonaut {

/// What `balance` asks of the channels.
struct BalanceOptions {
  double min_positive = 0.05, max_positive = 0.95;  ///< share of values above 0, in 0 … 1
  double min_abs = 0.2, max_abs = 100;              ///< mean |x|
  double scale = 0.04;                              ///< of the added gradient, against the one there is
  long first = 0, channels = -1;                    ///< which channels; -1: all from `first` on
};

namespace kernel {

/// Offset and slope of one channel, and whether one of them is not 0.
struct BalanceTerms {
  double offset, slope;
  bool any;
};
/// In terms of a normal distribution: m = mean / deviation against the ranges of the share of positive values, and
/// r = √(mean x²) against those of mean |x|. Per channel, with a = ±1 (or 0) where m lies above (below) its range and b
/// likewise for r, the gradient of the penalty is
///   l_i = a (1 - m (x_i - mean) / deviation) / (N deviation) + b x_i / (N r²),
/// that is, linear in x_i: l_i = u + w x_i. Its mean square then is (u + w mean)² + w² variance, so that `balance`
/// needs two numbers per channel: dx = dy + |dy| (offset + slope x), where offset and slope are u and w over the root
/// of that mean square, times `scale`.
PHONAUT_HD PHONAUT_INLINE BalanceTerms balance_terms(double mu, double var, long count, const BalanceOptions& o) {
  const auto quantile = [](double share) {  // of the approximate normal distribution that the recipe uses
    const double z = 2 * share - 1;
    return 0.8139535143 * 0.5 * (::log(1 + z + 1e-10) - ::log(1 - z + 1e-10));
  };
  const auto at_least = [](double x, double least) { return x < least ? least : x; };
  constexpr double tiny = 1e-20, root_of_half_pi = 1.25331413732;
  const double low_mean = quantile(o.min_positive), high_mean = quantile(o.max_positive);
  const double low_root = root_of_half_pi * o.min_abs, high_root = root_of_half_pi * o.max_abs;
  const double n = static_cast<double>(count);
  const double square = var + mu * mu, deviation = ::sqrt(at_least(var, tiny));
  const double root = ::sqrt(at_least(square, tiny)), m = mu / deviation;
  const double a = m > high_mean ? 1 : m < low_mean ? -1 : 0, b = root > high_root ? 1 : root < low_root ? -1 : 0;
  // Where a floor was hit, what stands on it does not depend on x.
  const double through_mean = a / (n * deviation),
               through_deviation = var < tiny ? 0 : -a * m / (n * deviation * deviation);
  const double through_root = square < tiny ? 0 : b / (n * root * root);
  const double w = through_deviation + through_root, u = through_mean - through_deviation * mu;
  const double average = u + w * mu, size = ::sqrt(average * average + w * w * var);
  const double factor = o.scale / at_least(size, tiny);
  return {factor * u, factor * w, u != 0 || w != 0};
}
/// The terms of all channels. Returns whether any of them is not 0, or true where finding out would mean waiting.
template <class S>
bool balance_coefficients(const Reference&, const Wide<S>* mean, const Wide<S>* variance, long count, long channels,
                          const BalanceOptions& o, S* offset, S* slope) {
  bool any = false;
  for (long c = 0; c < channels; ++c) {
    const BalanceTerms terms = balance_terms(static_cast<double>(mean[c]), static_cast<double>(variance[c]), count, o);
    offset[c] = S(terms.offset);
    slope[c] = S(terms.slope);
    any = any || terms.any;
  }
  return any;
}
/// dx = dy + |dy| (offset + slope x), with one offset and slope for each column.
template <class S>
void balance_backward(const Reference&, View<const S, 2> dy, View<const S, 2> x, const S* offset, const S* slope,
                      Sink<S, 2> dx) {
  using math::abs;
  for (long r = 0; r < x.shape[0]; ++r)
    for (long c = 0; c < x.shape[1]; ++c) {
      const S g = dy.row(r)[c];
      dx.put(r * x.shape[1] + c, g + abs(g) * (offset[c] + slope[c] * x.row(r)[c]));
    }
}
void balance_backward(const Cpu& cpu, View<const float, 2> dy, View<const float, 2> x, const float* offset,
                      const float* slope, Sink<float, 2> dx);
bool balance_coefficients(const Cuda& cuda, const double* mean, const double* variance, long count, long channels,
                          const BalanceOptions& o, float* offset, float* slope);
void balance_backward(const Cuda& cuda, View<const float, 2> dy, View<const float, 2> x, const float* offset,
                      const float* slope, Sink<float, 2> dx);

}  // namespace kernel

/// x itself, the same memory. Backward adds to the gradient of each channel that leaves its ranges a term that leads
/// back into them, as large as `scale` times the gradient itself. `lengths`: statistics are those of the real frames of
/// x (N, T, …, C). Throws ShapeError for channels that are not there.
template <class B, size_t R>
Var<B, R> balance(const Var<B, R>& any, const BalanceOptions& options, const Lengths& lengths = {}) {
  const long channels = detail::check_channel_range("balance", any.shape(), options.first, options.channels);
  check_lengths("balance", any.shape(), R > 2 ? lengths : Lengths());
  const Var<B, R> x = rowwise(any);
  return record(
      x.tensor(),
      [x, options, channels, lengths](Context<B>& c, const Tensor<B, R>& dy) {
        using S = typename B::Scalar;
        const long width = x.extent(R - 1);
        const auto moments = c.template empty_of<kernel::Wide<S>, 2>(Shape<2>{2, channels});
        const auto terms = c.zeros(Shape<2>{2, width});
        const kernel::RealRows rows = detail::real_rows(x.shape(), lengths);
        kernel::column_moments(c.backend(), detail::columns_of(as_rows(x.in()), options.first, channels), rows,
                               moments.data(), moments.data() + channels);
        if (x.size() == 0 || rows.total() == 0 ||
            !kernel::balance_coefficients(c.backend(), moments.data(), moments.data() + channels, rows.total(),
                                          channels, options, terms.data() + options.first,
                                          terms.data() + width + options.first))
          return detail::hand_on(c, dy, x);
        if (auto dx = c.sink(x))
          kernel::balance_backward(c.backend(), as_rows(dy.in()), as_rows(x.in()), static_cast<const S*>(terms.data()),
                                   static_cast<const S*>(terms.data()) + width, as_rows(dx));
      },
      x);
}

}  // namespace phonaut
