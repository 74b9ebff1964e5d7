#pragma once
// The sliced 2-Wasserstein distance to N(0, I): projections are sorted and held against the quantiles of the normal
// distribution. N. Bonneel et al., "Sliced and Radon Wasserstein Barycenters of Measures", 2015.
#include <algorithm>
#include <cmath>
#include <cstdint>

#include "phonaut/core/full_precision.hpp"
#include "phonaut/losses/over_ranks.hpp"
#include "phonaut/losses/slices.hpp"
#include "phonaut/ops/arithmetic.hpp"
#include "phonaut/ops/frames.hpp"
#include "phonaut/ops/gemm.hpp"
#include "phonaut/ops/scale_by.hpp"
#include "phonaut/ops/wide.hpp"

namespace phonaut {

/// The x with P(N(0, 1) < x) = p, for 0 < p < 1; correct to double precision.
inline double normal_quantile(double p) {
  if (p > 0.5) return -normal_quantile(1 - p);
  if (!(p > 0)) return -HUGE_VAL;
  // A rational start (Abramowitz and Stegun 26.2.23, 4.5e-4), then Newton's steps on the distribution function.
  const double t = std::sqrt(-2 * std::log(p));
  double x = -(t - (2.515517 + t * (0.802853 + t * 0.010328)) / (1 + t * (1.432788 + t * (0.189269 + t * 0.001308))));
  for (int i = 0; i < 4; ++i) {
    const double error = 0.5 * std::erfc(-x * 0.70710678118654752440) - p;
    const double u = error * 2.50662827463100050242 * std::exp(0.5 * x * x);
    x -= u / (1 + 0.5 * x * u);  // Halley's correction
  }
  return x;
}

namespace kernel {

/// Each column of p is the projection of a sample. loss[m] = Σ_n (p_(n)m - quantile[n])² over the sorted column, and p
/// is replaced by `gain` · 2 (p_(n)m - quantile[n]), where it stood. `order` (N) is scratch.
template <class S>
void wasserstein_slopes(const Reference&, double gain, const double* quantile, std::int32_t* order, View<S, 2> p,
                        S* loss) {
  using W = Wide<S>;
  for (long m = 0; m < p.shape[1]; ++m) {
    for (long n = 0; n < p.shape[0]; ++n) order[n] = static_cast<std::int32_t>(n);
    std::sort(order, order + p.shape[0], [&](std::int32_t a, std::int32_t b) {
      const S x = p.row(a)[m], y = p.row(b)[m];
      return x < y || (!(y < x) && a < b);  // equal values in their order: the result does not depend on the sort
    });
    W total = 0;
    for (long n = 0; n < p.shape[0]; ++n) {
      S& at = p.row(order[n])[m];
      const W apart = W(at) - W(quantile[n]);
      total += apart * apart;
      at = S(W(2 * gain) * apart);
    }
    loss[m] = S(total);
  }
}

void wasserstein_slopes(const Cuda& cuda, double gain, const double* quantile, std::int32_t* order, View<float, 2> p,
                        float* loss);

}  // namespace kernel

/// Mean over slices and samples of (p_(n)m - u_n)², where p = x A is sorted along each slice and u_n is the normal
/// quantile of (n - 1/2) / N. x (N, D), `slices` (D, M) with unit columns and no gradient. In training the samples are
/// those of all ranks, and each rank sorts all of them. Throws ShapeError if they do not fit.
template <class B>
Var<B, 0> sliced_wasserstein(const Var<B, 2>& any, const Tensor<B, 2>& slices) {
  using S = typename B::Scalar;
  check_channels("sliced_wasserstein", any.shape(), slices.extent(0), "slices ", slices.shape());
  const Var<B, 2> x = gather_over_ranks(rowwise(any));
  auto& ctx = x.context();
  const FullPrecision full(ctx);
  const long samples = x.extent(0), dims = x.extent(1), count = slices.extent(1);
  const double parts = samples * count > 0 ? 1.0 / static_cast<double>(samples * count) : 0;
  const auto quantiles = ctx.template empty_of<double, 1>({samples});
  const auto write = [samples](double* to) {
    for (long n = 0; n < samples; ++n)
      to[n] = normal_quantile((static_cast<double>(n) + 0.5) / static_cast<double>(samples));
  };
  detail::fill_from_host(ctx, quantiles, write, detail::HostNumbers::of_shapes);
  const auto order = ctx.template empty_of<std::int32_t, 1>({samples});
  auto p = ctx.empty(Shape<2>{samples, count});
  kernel::gemm(ctx.backend(), kernel::Gemm<S>{.m = samples,
                                              .n = count,
                                              .k = dims,
                                              .a = x.in().data,
                                              .a_row = x.in().stride[0],
                                              .b = slices.data(),
                                              .b_row = slices.in().stride[0],
                                              .c = p.data(),
                                              .c_row = count});
  const auto by_slice = ctx.empty(Shape<1>{count});
  kernel::wasserstein_slopes(ctx.backend(), parts, quantiles.data(), order.data(), p.out(), by_slice.data());
  auto loss = ctx.empty(Shape<0>{});
  kernel::sum(ctx.backend(), by_slice.in(), loss.data());
  kernel::scale(ctx.backend(), S(parts), View<const S, 1>(loss.data(), {1}), loss.data(), false);
  Tensor<B, 2> dx;
  if (ctx.wants_gradient(x)) {
    dx = ctx.empty(x.shape());
    kernel::gemm(ctx.backend(), kernel::Gemm<S>{.m = samples,
                                                .n = dims,
                                                .k = count,
                                                .a = p.data(),
                                                .a_row = count,
                                                .b = slices.data(),
                                                .b_row = 1,
                                                .b_col = slices.in().stride[0],
                                                .c = dx.data(),
                                                .c_row = dims});
  }
  return record(
      std::move(loss),
      [x, dx](Context<B>& c, const Tensor<B, 0>& dloss) {
        if (auto sink = c.sink(x))
          kernel::scale_by(c.backend(), static_cast<const S*>(dloss.data()), detail::flat(dx), sink.data, sink.add);
      },
      x);
}

/// The same over the real frames of a batch, with `count` slices drawn for this step.
template <class B>
Var<B, 0> sliced_wasserstein(const Sequence<B>& x, long count = 1024) {
  return sliced_wasserstein(valid_frames(x), random_slices(x.context(), x.channels(), count));
}

}  // namespace phonaut
