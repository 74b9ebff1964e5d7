#pragma once
// How far two spectrograms are apart: all the terms of the published spectral losses in one pass over both.
#include "phonaut/core/backend.hpp"
#include "phonaut/core/sequence.hpp"
#include "phonaut/ops/formula/spectral_distance.hpp"
#include "phonaut/ops/shape.hpp"
#include "phonaut/ops/wide.hpp"

namespace phonaut {

namespace kernel {

template <class S>
void spectral_distance_sums(const Reference&, const SpectralTerms& terms, View<const S, 3> x, View<const S, 3> y,
                            const long* lengths, Wide<S>* sums) {
  using W = Wide<S>;
  using math::abs;
  using math::sqrt;
  const long width = x.shape[2];
  for (long i = 0; i < spectral_sums; ++i) sums[i] = W(0);
  for (long r = 0; r < x.shape[0] * x.shape[1]; ++r) {
    if (!real_row(r, x.shape[1], lengths)) continue;
    W row(0);
    for (long c = 0; c < width; ++c) {
      const S a = x.data[r * width + c], b = y.data[r * width + c];
      sums[0] += W(abs(a - b));
      sums[3] += W((a - b) * (a - b));
      sums[4] += W(b * b);
      if (!terms.any_log()) continue;
      const S d = terms.log.difference(a, b);
      sums[1] += W(abs(d));
      row += W(d * d);
    }
    sums[2] += row;
    if (row > W(0)) sums[5] += sqrt(row * W(1.0 / static_cast<double>(width)));
  }
}

/// The loss, from its sums.
template <class S>
void spectral_distance_value(const Reference&, const SpectralTerms& terms, const SpectralShares& share,
                             const Wide<S>* sums, S* value) {
  *value = static_cast<S>(spectral_value(terms, share, sums));
}
/// The gradients of the sums.
template <class S>
void spectral_distance_factors(const Reference&, const SpectralTerms& terms, const SpectralShares& share,
                               const S* dloss, const Wide<S>* sums, S* factors) {
  spectral_factors(terms, share, Wide<S>(*dloss), sums, factors);
}
/// dx and dy, where they are wanted, from the gradients f of the sums. Zero in padding.
template <class S>
void spectral_distance_backward(const Reference&, const SpectralTerms& terms, const S* f, View<const S, 3> x,
                                View<const S, 3> y, const long* lengths, Sink<S, 3> dx, Sink<S, 3> dy) {
  using formula::sign_of;
  using math::sqrt;
  const long width = x.shape[2];
  for (long r = 0; r < x.shape[0] * x.shape[1]; ++r) {
    const bool real = real_row(r, x.shape[1], lengths);
    const S *const a = x.data + r * width, *const b = y.data + r * width;
    S root(0);  // f_5 / (width · sqrt(mean (gx-gy)²))
    if (real && terms.log_root != 0) {
      S total(0);
      for (long c = 0; c < width; ++c) {
        const S d = terms.log.difference(a[c], b[c]);
        total += d * d;
      }
      if (total > S(0)) root = f[5] / sqrt(total * S(static_cast<double>(width)));
    }
    for (long c = 0; c < width; ++c) {
      const long i = r * width + c;
      if (!real) {
        if (dx && !dx.add) dx.data[i] = S(0);
        if (dy && !dy.add) dy.data[i] = S(0);
        continue;
      }
      const S linear = f[0] * sign_of(a[c] - b[c]) + S(2) * f[3] * (a[c] - b[c]);
      S log_part(0);
      if (terms.any_log()) {
        const S d = terms.log.difference(a[c], b[c]);
        log_part = f[1] * sign_of(d) + (S(2) * f[2] + root) * d;
      }
      if (dx) dx.put(i, linear + log_part * terms.log.slope(a[c]));
      if (dy) dy.put(i, S(2) * f[4] * b[c] - linear - log_part * terms.log.slope(b[c]));
    }
  }
}

void spectral_distance_sums(const Cpu& cpu, const SpectralTerms& terms, View<const float, 3> x, View<const float, 3> y,
                            const long* lengths, double* sums);
void spectral_distance_backward(const Cpu& cpu, const SpectralTerms& terms, const float* f, View<const float, 3> x,
                                View<const float, 3> y, const long* lengths, Sink<float, 3> dx, Sink<float, 3> dy);
void spectral_distance_sums(const Cuda& cuda, const SpectralTerms& terms, View<const float, 3> x,
                            View<const float, 3> y, const long* lengths, double* sums);
void spectral_distance_value(const Cuda& cuda, const SpectralTerms& terms, const SpectralShares& share,
                             const double* sums, float* value);
void spectral_distance_factors(const Cuda& cuda, const SpectralTerms& terms, const SpectralShares& share,
                               const float* dloss, const double* sums, float* factors);
void spectral_distance_backward(const Cuda& cuda, const SpectralTerms& terms, const float* f, View<const float, 3> x,
                                View<const float, 3> y, const long* lengths, Sink<float, 3> dx, Sink<float, 3> dy);

}  // namespace kernel

/// The weighted sum of the terms between features x and y (N, T, bins), over the real frames by the lengths of x; both
/// may have a gradient. Throws ShapeError if shapes or lengths differ, ConfigError for a logarithm without floor.
template <class B>
Var<B, 0> spectral_distance(const Sequence<B>& any_x, const Sequence<B>& any_y, const SpectralTerms& terms) {
  using S = typename B::Scalar;
  using W = kernel::Wide<S>;
  check_same_shape("spectral distance", "x", any_x.frames.shape(), "y", any_y.frames.shape());
  check_lengths("spectral distance", any_x);
  if (terms.any_log() && !(terms.log.floor > 0))
    throw ConfigError(concat("spectral distance: the floor of the logarithm must be positive, got ", terms.log.floor));
  for (long n = 0; n < any_x.batch(); ++n)
    if (any_x.length(n) != any_y.length(n))
      throw ShapeError(concat("spectral distance: utterance ", n, " has ", any_x.length(n), " frames in x but ",
                              any_y.length(n), " in y"));
  const Var<B, 3> x = packed(any_x.frames), y = packed(any_y.frames);
  const Lengths lengths = any_x.lengths;
  const auto pointer = [](const Lengths& l) { return l ? l.data() : static_cast<const long*>(nullptr); };
  auto& ctx = x.context();
  long frames = 0;
  for (long n = 0; n < any_x.batch(); ++n) frames += any_x.length(n);
  kernel::SpectralShares share;
  if (frames > 0) share.frame = 1 / static_cast<double>(frames);
  if (any_x.channels() > 0) share.bin = share.frame / static_cast<double>(any_x.channels());

  const auto sums = ctx.template empty_of<W>(Shape<1>{kernel::spectral_sums});
  kernel::spectral_distance_sums(ctx.backend(), terms, x.in(), y.in(), pointer(lengths), sums.data());
  auto loss = ctx.empty(Shape<0>{});
  kernel::spectral_distance_value(ctx.backend(), terms, share, static_cast<const W*>(sums.data()), loss.data());
  return record(
      std::move(loss),
      [=](Context<B>& c, const Tensor<B, 0>& dloss) {
        const auto dx = c.sink(x);
        const auto dy = c.sink(y);
        if (!dx && !dy) return;
        const auto factors = c.empty(Shape<1>{kernel::spectral_sums});
        kernel::spectral_distance_factors(c.backend(), terms, share, static_cast<const S*>(dloss.data()),
                                          static_cast<const W*>(sums.data()), factors.data());
        kernel::spectral_distance_backward(c.backend(), terms, static_cast<const S*>(factors.data()), x.in(), y.in(),
                                           pointer(lengths), dx, dy);
      },
      x, y);
}

}  // namespace phonaut
