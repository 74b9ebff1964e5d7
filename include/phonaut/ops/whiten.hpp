#pragma once
// Whiten of the Zipformer recipe: a gradient that keeps a few directions from carrying all of the variance.
// Yao et al., "Zipformer", 2023, section 3.4.
#include <cmath>
#include <type_traits>

#include "phonaut/core/full_precision.hpp"
#include "phonaut/ops/arithmetic.hpp"
#include "phonaut/ops/centre_columns.hpp"
#include "phonaut/ops/column_moments.hpp"
#include "phonaut/ops/formula/distance.hpp"
#include "phonaut/ops/frames.hpp"
#include "phonaut/ops/gemm.hpp"
#include "phonaut/ops/pair.hpp"
#include "phonaut/ops/scale_by.hpp"

namespace phonaut {

/// What `whiten` asks of the channels.
struct WhitenOptions {
  double limit = 5;               ///< greatest metric that is left in peace; 1 is a multiple of the identity
  double scale = 0.01;            ///< of the added gradient, against the one there is
  long groups = 1;                ///< equal parts of the channels whose covariance counts; heads, for keys
  long first = 0, channels = -1;  ///< which channels; -1: all from `first` on
};

namespace kernel {

/// What a call of `whiten` decides by. With S the sum over rows of the outer products of centred frames, the penalty's
/// matrix is outer S - inner I.
struct WhitenTerms {
  double metric, outer, inner;
  bool above;  ///< whether there is a penalty; otherwise outer and inner are 0
};
/// From the sum of the diagonal of S and that of all its squares.
PHONAUT_HD PHONAUT_INLINE WhitenTerms whiten_terms(double diagonal, double squares, long channels, double limit) {
  const double n = static_cast<double>(channels), mean_variance = diagonal / n, mean_square = squares / n;
  const double e = mean_variance * mean_variance + 1e-20, metric = mean_square / e;
  if (metric < limit) return {metric, 0, 0, false};
  const double outer = 4 / (n * e);
  return {metric, outer, outer * mean_variance * mean_square / e, true};
}

/// y = x in the number type of tensors.
template <class S>
void narrow(const Reference&, View<const Wide<S>, 1> x, S* y) {
  for (long i = 0; i < x.size(); ++i) y[i] = S(x.data[i]);
}
/// y (rows, C) = x - mean in real rows, 0 in the others.
template <class B, class S>
requires std::is_base_of_v<Reference, B>
void centre_real_rows(const B& backend, View<const S, 2> x, const RealRows& rows, const S* mean, S* y) {
  const long width = x.shape[1];
  for (long n = 0; n < rows.batch; ++n) {
    const long first = n * rows.each, real = rows.of(n);
    subtract_columns(backend, View<const S, 2>(x.row(first), {real, width}, x.stride), mean,
                     Sink<S, 2>(y + first * width, {real, width}, false));
    fill(backend, y + (first + real) * width, (rows.each - real) * width, S(0));
  }
}
/// Terms of S (groups, C / groups, C / groups), the sum of whose squares is known. Returns whether there is a penalty,
/// or true where finding out would mean waiting.
template <class S>
bool whiten_decide(const Reference&, View<const S, 3> covariances, const S* squares, double limit, WhitenTerms* terms) {
  const long groups = covariances.shape[0], width = covariances.shape[1];
  double diagonal = 0;
  for (long g = 0; g < groups; ++g)
    for (long c = 0; c < width; ++c) diagonal += static_cast<double>(covariances[g].row(c)[c]);
  *terms = whiten_terms(diagonal, static_cast<double>(*squares), groups * width, limit);
  return terms->above;
}
/// outer S - inner I in the place of S. Without a penalty that is 0, and so is the product with the centred frames: all
/// of these are finite, or the metric would not be below a limit.
template <class S>
void whiten_matrix(const Reference&, const WhitenTerms* terms, View<S, 3> covariances) {
  const S outer = S(terms->outer), inner = S(-terms->inner);
  for (long g = 0; g < covariances.shape[0]; ++g)
    for (long r = 0; r < covariances.shape[1]; ++r) {
      S* const row = covariances[g].row(r);
      for (long c = 0; c < covariances.shape[2]; ++c) row[c] = outer * row[c];
      row[r] += inner;
    }
}
/// What the penalty is scaled by, from the sums of squares of the gradient that arrives and of the penalty; 0 without
/// one.
template <class S>
void whiten_factor(const Reference&, const WhitenTerms* terms, double scale, const S* dy_squares,
                   const S* penalty_squares, S* factor) {
  using std::sqrt;
  *factor = S(terms->above ? scale * sqrt(static_cast<double>(*dy_squares)) /
                                 (sqrt(static_cast<double>(*penalty_squares)) + 1e-20)
                           : 0.0);
}

void narrow(const Cuda& cuda, View<const double, 1> x, float* y);
void centre_real_rows(const Cuda& cuda, View<const float, 2> x, RealRows rows, const float* mean, float* y);
bool whiten_decide(const Cuda& cuda, View<const float, 3> covariances, const float* squares, double limit,
                   WhitenTerms* terms);
void whiten_matrix(const Cuda& cuda, const WhitenTerms* terms, View<float, 3> covariances);
void whiten_factor(const Cuda& cuda, const WhitenTerms* terms, double scale, const float* dy_squares,
                   const float* penalty_squares, float* factor);

}  // namespace kernel

namespace detail {

/// The sum of squares.
template <class B, class S>
Tensor<B, 0> square_of(Context<B>& ctx, View<const S, 2> x) {
  using kernel::pair_sum;
  Tensor<B, 0> square = ctx.empty(Shape<0>{});
  pair_sum(ctx.backend(), formula::Product{}, 1.0, x, x, square.data());
  return square;
}

/// The channels of x centred over the real rows, their covariances, and how far those are from a multiple of the
/// identity.
template <class B>
struct Whiteness {
  Tensor<B, 2> centred;      ///< (rows, C); 0 in padded rows
  Tensor<B, 3> covariances;  ///< (groups, C / groups, C / groups), summed, not averaged, over rows
  Tensor<B, 1, kernel::WhitenTerms> terms;
  bool above;  ///< whether the metric is above the limit, or nobody knows yet

  template <class S>
  Whiteness(Context<B>& ctx, View<const S, 2> x, const kernel::RealRows& rows, long groups, double limit) {
    const long channels = x.shape[1], width = channels / groups;
    const auto moments = ctx.template empty_of<kernel::Wide<S>, 2>(Shape<2>{2, channels});
    kernel::column_moments(ctx.backend(), x, rows, moments.data(), moments.data() + channels);
    const Tensor<B, 1> mean = ctx.empty(Shape<1>{channels});
    kernel::narrow(ctx.backend(), View<const kernel::Wide<S>, 1>(moments.data(), {channels}), mean.data());
    centred = ctx.empty(Shape<2>{x.shape[0], channels});
    kernel::centre_real_rows(ctx.backend(), x, rows, static_cast<const S*>(mean.data()), centred.data());
    covariances = ctx.empty(Shape<3>{groups, width, width});
    kernel::gemm(ctx.backend(), kernel::Gemm<S>{.m = width,
                                                .n = width,
                                                .k = x.shape[0],
                                                .a = centred.data(),
                                                .a_row = 1,
                                                .a_col = channels,
                                                .b = centred.data(),
                                                .b_row = channels,
                                                .c = covariances.data(),
                                                .c_row = width,
                                                .batch = groups,
                                                .a_batch = width,
                                                .b_batch = width,
                                                .c_batch = width * width});
    const Tensor<B, 0> squares = square_of(ctx, View<const S, 2>(covariances.data(), {groups * width, width}));
    terms = ctx.template empty_of<kernel::WhitenTerms, 1>(Shape<1>{1});
    above = kernel::whiten_decide(ctx.backend(), covariances.in(), static_cast<const S*>(squares.data()), limit,
                                  terms.data());
  }
};

template <class B, size_t R>
void check_whiten(const Var<B, R>& x, const WhitenOptions& options, long channels, const Lengths& lengths) {
  check_lengths("whiten", x.shape(), R > 2 ? lengths : Lengths());
  if (options.groups < 1 || channels % options.groups != 0)
    throw ShapeError(concat("whiten: ", channels, " channels do not divide into ", options.groups, " groups"));
}

}  // namespace detail

/// How unevenly variance spreads over directions: mean of the squared eigenvalues of the channels' covariance, over
/// the square of their mean. 1 for a multiple of the identity, the number of channels (of a group) for a single
/// direction. `lengths`: only the real frames of x (N, T, …, C) count.
template <class B, size_t R>
double whitening_metric(const Var<B, R>& any, const WhitenOptions& options, const Lengths& lengths = {}) {
  const long channels = detail::check_channel_range("whiten", any.shape(), options.first, options.channels);
  detail::check_whiten(any, options, channels, lengths);
  const Var<B, R> x = rowwise(any);
  const FullPrecision full(x.context());
  const detail::Whiteness<B> found(x.context(), detail::columns_of(as_rows(x.in()), options.first, channels),
                                   detail::real_rows(x.shape(), lengths), options.groups, options.limit);
  double metric = 0;
  detail::read_on_host(x.context(), found.terms, [&](const kernel::WhitenTerms* terms) { metric = terms->metric; });
  return metric;
}

/// x itself, the same memory. Where `whitening_metric` is at or above the limit, backward adds the gradient of the
/// metric, scaled to `scale` times the size of the gradient that arrives. With S = Σ over rows of the outer products of
/// the centred frames X, a = mean of its diagonal, b = mean square per channel and e = a² + 1e-20, that is in the
/// direction of (4 / C) (X S / e - X a b / e²). Throws ShapeError if the channels do not divide into the groups.
template <class B, size_t R>
Var<B, R> whiten(const Var<B, R>& any, const WhitenOptions& options, const Lengths& lengths = {}) {
  const long channels = detail::check_channel_range("whiten", any.shape(), options.first, options.channels);
  detail::check_whiten(any, options, channels, lengths);
  const Var<B, R> x = rowwise(any);
  const FullPrecision full(x.context());  // for the way back, which computes the covariances
  return record(
      x.tensor(),
      [x, options, channels, lengths](Context<B>& c, const Tensor<B, R>& dy) {
        using S = typename B::Scalar;
        const kernel::RealRows rows = detail::real_rows(x.shape(), lengths);
        if (rows.total() == 0 || channels == 0) return detail::hand_on(c, dy, x);
        const auto part = detail::columns_of(as_rows(x.in()), options.first, channels);
        const detail::Whiteness<B> found(c, part, rows, options.groups, options.limit);
        if (!found.above) return detail::hand_on(c, dy, x);

        // The penalty's gradient is X M with M = (4 / C) (S / e - (a b / e²) I); M takes the place of S.
        const long width = channels / options.groups;
        S* const m = found.covariances.data();
        kernel::whiten_matrix(c.backend(), static_cast<const kernel::WhitenTerms*>(found.terms.data()),
                              found.covariances.out());
        const Tensor<B, 2> penalty = c.empty(found.centred.shape());
        kernel::gemm(c.backend(), kernel::Gemm<S>{.m = part.shape[0],
                                                  .n = width,
                                                  .k = width,
                                                  .a = found.centred.data(),
                                                  .a_row = channels,
                                                  .b = m,
                                                  .b_row = width,
                                                  .c = penalty.data(),
                                                  .c_row = channels,
                                                  .batch = options.groups,
                                                  .a_batch = width,
                                                  .b_batch = width * width,
                                                  .c_batch = width});
        const Tensor<B, 0> arrived =
                               detail::square_of(c, detail::columns_of(as_rows(dy.in()), options.first, channels)),
                           added = detail::square_of(c, penalty.in()), factor = c.empty(Shape<0>{});
        kernel::whiten_factor(c.backend(), static_cast<const kernel::WhitenTerms*>(found.terms.data()), options.scale,
                              static_cast<const S*>(arrived.data()), static_cast<const S*>(added.data()),
                              factor.data());
        detail::hand_on(c, dy, x);
        const auto dx = c.sink(x);
        if (!dx) return;
        const auto* const by = static_cast<const S*>(factor.data());
        if (channels == x.extent(R - 1)) {
          kernel::scale_by(c.backend(), by, detail::flat(penalty), dx.data, true);
        } else {
          kernel::scale_by(c.backend(), by, detail::flat(penalty), penalty.data(), false);
          View<S, 2> to = as_rows(View<S, R>(dx));
          kernel::copy_block(c.backend(), penalty.in(), detail::columns_of(to, options.first, channels), true);
        }
      },
      x);
}

}  // namespace phonaut
