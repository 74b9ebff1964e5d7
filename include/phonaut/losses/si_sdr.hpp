#pragma once
// Scale-invariant signal-to-distortion ratio. J. Le Roux et al., "SDR - half-baked or well done?", 2019.
#include <cmath>

#include "phonaut/core/math.hpp"
#include "phonaut/core/sequence.hpp"
#include "phonaut/ops/arithmetic.hpp"
#include "phonaut/ops/wide.hpp"

namespace phonaut {

struct SiSdrOptions {
  bool zero_mean = true;  ///< subtract the means of both signals first
  double epsilon = 1e-8;  ///< added to each sum of squares or products
};

namespace kernel {

/// With means taken out where asked for, a = (<e, r> + ε) / (<r, r> + ε), u = |a r|² + ε and v = |a r - e|² + ε:
/// y[n] = 10 log10(u / v), over lengths[n] samples (all where null). `sums` (N, 5): mean e, mean r, a, u, v.
template <class S>
void si_sdr_forward(const Reference&, bool zero_mean, double epsilon, View<const S, 2> estimate,
                    View<const S, 2> reference, const long* lengths, S* y, View<Wide<S>, 2> sums) {
  using math::log;
  using W = Wide<S>;
  for (long n = 0; n < estimate.shape[0]; ++n) {
    const long length = lengths ? lengths[n] : estimate.shape[1];
    const S *e = estimate.row(n), *r = reference.row(n);
    W mean_e = 0, mean_r = 0, er = 0, rr = 0, u = 0, v = 0;
    if (zero_mean && length > 0) {
      for (long i = 0; i < length; ++i) mean_e += W(e[i]), mean_r += W(r[i]);
      mean_e *= W(1 / static_cast<double>(length));
      mean_r *= W(1 / static_cast<double>(length));
    }
    for (long i = 0; i < length; ++i) {
      er += (W(e[i]) - mean_e) * (W(r[i]) - mean_r);
      rr += (W(r[i]) - mean_r) * (W(r[i]) - mean_r);
    }
    const W a = (er + W(epsilon)) / (rr + W(epsilon));
    for (long i = 0; i < length; ++i) {
      const W scaled = a * (W(r[i]) - mean_r), apart = scaled - (W(e[i]) - mean_e);
      u += scaled * scaled;
      v += apart * apart;
    }
    u += W(epsilon);
    v += W(epsilon);
    y[n] = S(W(4.342944819032518) * (log(u) - log(v)));
    const W row[5] = {mean_e, mean_r, a, u, v};
    std::copy_n(row, 5, sums.row(n));
  }
}
/// With ρ = <r, r> + ε: du/de = 2 a <r, r> r / ρ and dv/de = -2 (a r - e) + 2 <a r - e, r> r / ρ, so that
///   de = dy · (10 / ln 10) (du/u - dv/v), from which the mean is taken out again where the forward took it.
template <class S>
void si_sdr_backward(const Reference&, bool zero_mean, double epsilon, const S* dy, View<const S, 2> estimate,
                     View<const S, 2> reference, const long* lengths, View<const Wide<S>, 2> sums, Sink<S, 2> de) {
  using W = Wide<S>;
  for (long n = 0; n < estimate.shape[0]; ++n) {
    const long all = estimate.shape[1], length = lengths ? lengths[n] : all;
    const S *e = estimate.row(n), *r = reference.row(n);
    const W* s = sums.row(n);
    const auto ref = [&](long i) { return W(r[i]) - s[1]; };
    const auto apart = [&](long i) { return s[2] * ref(i) - (W(e[i]) - s[0]); };
    W rr = 0, along = 0, total = 0;
    for (long i = 0; i < length; ++i) rr += ref(i) * ref(i), along += apart(i) * ref(i);
    const W gain = W(8.685889638065036) * W(dy[n]);
    const W of_ref = gain * (s[2] * rr / s[3] - along / s[4]) / (rr + W(epsilon)), of_apart = gain / s[4];
    const auto slope = [&](long i) { return of_ref * ref(i) + of_apart * apart(i); };
    for (long i = 0; zero_mean && i < length; ++i) total += slope(i);
    const W mean = zero_mean && length > 0 ? total / W(static_cast<double>(length)) : W(0);
    for (long i = 0; i < all; ++i) de.put(n * all + i, i < length ? S(slope(i) - mean) : S(0));
  }
}

void si_sdr_forward(const Cuda& cuda, bool zero_mean, double epsilon, View<const float, 2> estimate,
                    View<const float, 2> reference, const long* lengths, float* y, View<double, 2> sums);
void si_sdr_backward(const Cuda& cuda, bool zero_mean, double epsilon, const float* dy, View<const float, 2> estimate,
                     View<const float, 2> reference, const long* lengths, View<const double, 2> sums,
                     Sink<float, 2> de);

}  // namespace kernel

/// SI-SDR in dB of each estimate (N, samples) against its reference, over the first lengths[n] samples (all of them
/// where lengths are empty) -> (N). The reference is a constant. Mind the order: estimate first. Throws ShapeError if
/// the shapes differ or a length is out of range.
template <class B>
Var<B, 1> si_sdr(const Var<B, 2>& any_estimate, const Var<B, 2>& any_reference, const Lengths& lengths = {},
                 const SiSdrOptions& options = {}) {
  using W = kernel::Wide<typename B::Scalar>;
  check_same_shape("si_sdr", "the estimate", any_estimate.shape(), "the reference", any_reference.shape());
  const Var<B, 2> estimate = rowwise(any_estimate);
  auto& ctx = estimate.context();
  const Var<B, 2> reference = rowwise(ctx.detach(any_reference));
  check_lengths("si_sdr", estimate.shape(), lengths);
  auto y = ctx.empty(Shape<1>{estimate.extent(0)});
  const auto sums = ctx.template empty_of<W, 2>({estimate.extent(0), 5});
  kernel::si_sdr_forward(ctx.backend(), options.zero_mean, options.epsilon, estimate.in(), reference.in(),
                         lengths ? lengths.data() : nullptr, y.data(), sums.out());
  return record(
      std::move(y),
      [estimate, reference, lengths, options, sums](Context<B>& c, const Tensor<B, 1>& dy) {
        if (auto de = c.sink(estimate))
          kernel::si_sdr_backward(c.backend(), options.zero_mean, options.epsilon,
                                  static_cast<const typename B::Scalar*>(dy.data()), estimate.in(), reference.in(),
                                  lengths ? lengths.data() : nullptr, sums.in(), de);
      },
      estimate);
}

/// -mean of `si_sdr` over the batch.
template <class B>
Var<B, 0> si_sdr_loss(const Var<B, 2>& estimate, const Var<B, 2>& reference, const Lengths& lengths = {},
                      const SiSdrOptions& options = {}) {
  return -mean(si_sdr(estimate, reference, lengths, options));
}

}  // namespace phonaut
