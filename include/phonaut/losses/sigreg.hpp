#pragma once
// SIGReg: sketched isotropic Gaussian regularisation. Embeddings are projected on random directions ("slices"), and the
// distribution of each projection is held against N(0, 1) by the Epps-Pulley statistic.
// R. Balestriero and Y. LeCun, "LeJEPA: Provable and Scalable Self-Supervised Learning Without the Heuristics", 2025.
#include <algorithm>
#include <cmath>

#include "phonaut/core/full_precision.hpp"
#include "phonaut/losses/over_ranks.hpp"
#include "phonaut/losses/reduction.hpp"
#include "phonaut/losses/slices.hpp"
#include "phonaut/ops/arithmetic.hpp"
#include "phonaut/ops/epps_pulley.hpp"
#include "phonaut/ops/gemm.hpp"
#include "phonaut/ops/scale_by.hpp"

namespace phonaut {

struct SigregOptions {
  long slices = 1024;    ///< directions drawn anew in each step
  EppsPulley test = {};  ///< knots and range of the statistic
  /// Mean over slices and leading axes, or the sum over both.
  Reduction reduction = Reduction::mean;
  /// Ranks that train together share one sample and get the same loss, and each its part of the gradient, for
  /// optimisers that *sum* gradients over ranks; where they are averaged instead, set this to the number of ranks.
  double gradient_scale = 1;
};

namespace detail {

/// What SIGReg computes on its way, for those who want to look; host backends only.
template <class B>
struct SigregTrace {
  using W = kernel::Wide<typename B::Scalar>;
  View<typename B::Scalar, 2> statistic;  ///< (views, slices), or nothing
  View<W, 3> cosine, sine;                ///< (views, knots, slices): means over the sample; or nothing

  void keep(long view, long begin, double total, View<const W, 2> cosine_sum, View<const W, 2> sine_sum) const {
    if (!cosine) return;
    for (long k = 0; k < cosine_sum.shape[0]; ++k)
      for (long m = 0; m < cosine_sum.shape[1]; ++m) {
        cosine(view, k, begin + m) = cosine_sum.row(k)[m] * W(1 / total);
        sine(view, k, begin + m) = sine_sum.row(k)[m] * W(1 / total);
      }
  }
};

/// Slices per block: projections of a block (samples x slices floats) should stay in a cache between their uses.
inline long sigreg_block(long samples, long slices) {
  const long fitting = (1L << 18) / std::max(1L, samples) / 16 * 16;
  return std::min(slices, std::max(64L, fitting));
}

}  // namespace detail

/// SIGReg with given slices. x (…, N, D) holds N samples of dimension D, views on the leading axes are independent;
/// `slices` (D, M) has unit columns and takes no gradient. With p = x A, over knots t_k with weights w_k:
///
///   loss = mean over slices m and views of  N Σ_k w_k ((mean_n cos(p_nm t_k) - φ_k)² + (mean_n sin(p_nm t_k))²)
///   dx = q Aᵀ,  q_nm = 2/M Σ_k w_k t_k (S_mk cos(p_nm t_k) - (C_mk - φ_k) sin(p_nm t_k))
///
/// Under x ~ N(0, I) its expectation is 1.0525 for every N; full collapse to 0 gives 0.4020 N. Projections exist for a
/// block of slices at a time, and the gradient is made in the forward pass, while they are at hand: beside x it keeps
/// only dx. No samples: 0. With ranks that train together the sample is that of all of them, of which N is the size and
/// this rank has a share, perhaps none; leading axes must be the same.
/// Throws ShapeError if the slices do not fit, ConfigError for unusable knots.
template <class B, size_t R>
Var<B, 0> sigreg(const Var<B, R>& any, const Tensor<B, 2>& slices, const SigregOptions& options = {},
                 const detail::SigregTrace<B>& trace = {}) {
  using S = typename B::Scalar;
  using W = kernel::Wide<S>;
  static_assert(R >= 2, "sigreg: x is (…, samples, dimensions)");
  options.test.check("sigreg");
  check_channels("sigreg", any.shape(), slices.extent(0), "slices ", slices.shape());
  const Var<B, R> x = rowwise(any);
  auto& ctx = x.context();
  const FullPrecision full(ctx);
  const auto rows = as_rows(x.in());
  const long samples = x.extent(R - 2), dims = x.extent(R - 1), all = slices.extent(1), knots = options.test.knots;
  long views = 1;
  for (size_t axis = 0; axis < R - 2; ++axis) views *= x.extent(axis);
  const bool with_gradient = ctx.wants_gradient(x);
  const double parts =
      options.reduction == Reduction::mean ? 1.0 / static_cast<double>(std::max(1L, views * all)) : 1.0;

  const double total = ctx.batch_ranks().all_reduce(static_cast<double>(samples));
  if (total == 0) views = 0;

  // As wide on every rank, whatever its share.
  const auto mean_samples = static_cast<long>(std::ceil(total / static_cast<double>(ctx.batch_ranks().size())));
  const long width = detail::sigreg_block(mean_samples, all);
  Tensor<B, R> dx;
  if (with_gradient) dx = all > 0 ? ctx.empty(x.shape()) : ctx.zeros(x.shape());
  auto statistic = ctx.empty(Shape<2>{views, all});
  for (long view = 0; view < views; ++view)
    for (long begin = 0; begin < all; begin += width) {
      const long count = std::min(width, all - begin);
      auto projections = ctx.empty(Shape<2>{samples, count});
      kernel::gemm(ctx.backend(), kernel::Gemm<S>{.m = samples,
                                                  .n = count,
                                                  .k = dims,
                                                  .a = rows.row(view * samples),
                                                  .a_row = rows.stride[0],
                                                  .b = slices.data() + begin,
                                                  .b_row = slices.in().stride[0],
                                                  .c = projections.data(),
                                                  .c_row = count});
      auto sums = ctx.template empty_of<W, 2>({2 * knots, count});
      View<W, 2> cosine(sums.data(), {knots, count}), sine(sums.data() + knots * count, {knots, count});
      kernel::characteristic_sums(ctx.backend(), knots, options.test.step(), projections.in(), cosine, sine);
      detail::all_reduce(ctx, sums.data(), sums.size());
      if constexpr (std::is_same_v<typename B::Memory, HostMemory>) trace.keep(view, begin, total, cosine, sine);
      kernel::epps_pulley(ctx.backend(), options.test, total, 2 * parts * options.gradient_scale, cosine, sine,
                          &statistic.out().row(view)[begin]);
      if (!with_gradient) continue;
      kernel::characteristic_slopes(ctx.backend(), knots, options.test.step(), View<const W, 2>(cosine),
                                    View<const W, 2>(sine), projections.out());
      kernel::gemm(ctx.backend(), kernel::Gemm<S>{.m = samples,
                                                  .n = dims,
                                                  .k = count,
                                                  .a = projections.data(),
                                                  .a_row = count,
                                                  .b = slices.data() + begin,
                                                  .b_row = 1,
                                                  .b_col = slices.in().stride[0],
                                                  .c = dx.data() + view * samples * dims,
                                                  .c_row = dims,
                                                  .add = begin > 0});
    }
  if (trace.statistic) kernel::copy_block(ctx.backend(), statistic.in(), trace.statistic, false);
  auto loss = ctx.empty(Shape<0>{});
  kernel::sum(ctx.backend(), detail::flat(statistic), loss.data());
  kernel::scale(ctx.backend(), S(parts), View<const S, 1>(loss.data(), {1}), loss.data(), false);
  return record(
      std::move(loss),
      [x, dx](Context<B>& c, const Tensor<B, 0>& dloss) {
        if (auto sink = c.sink(x)) kernel::scale_by(c.backend(), dloss.data(), detail::flat(dx), sink.data, sink.add);
      },
      x);
}

/// SIGReg of the real frames of a batch, all of them one sample, with slices drawn for this step.
template <class B>
Var<B, 0> sigreg(const Sequence<B>& x, const SigregOptions& options = {}) {
  return sigreg(valid_frames(x), random_slices(x.context(), x.channels(), options.slices), options);
}

}  // namespace phonaut
