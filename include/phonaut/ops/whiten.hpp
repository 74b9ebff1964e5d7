#pragma once
// Whiten of the Zipformer recipe: a gradient that keeps a few directions from carrying all of the variance.
// Yao et al., "Zipformer", 2023, section 3.4.
#include <cmath>

#include "phonaut/core/full_precision.hpp"
#include "phonaut/ops/arithmetic.hpp"
#include "phonaut/ops/centre_columns.hpp"
#include "phonaut/ops/column_moments.hpp"
#include "phonaut/ops/diagonal.hpp"
#include "phonaut/ops/formula/distance.hpp"
#include "phonaut/ops/frames.hpp"
#include "phonaut/ops/gemm.hpp"
#include "phonaut/ops/pair.hpp"

namespace phonaut {

/// What `whiten` asks of the channels.
struct WhitenOptions {
  double limit = 5;               ///< greatest metric that is left in peace; 1 is a multiple of the identity
  double scale = 0.01;            ///< of the added gradient, against the one there is
  long groups = 1;                ///< equal parts of the channels whose covariance counts; heads, for keys
  long first = 0, channels = -1;  ///< which channels; -1: all from `first` on
};

namespace detail {

/// The sum of squares.
template <class B, class S>
double square_of(Context<B>& ctx, View<const S, 2> x) {
  using kernel::pair_sum;
  const Tensor<B, 0> square = ctx.empty(Shape<0>{});
  pair_sum(ctx.backend(), formula::Product{}, 1.0, x, x, square.data());
  S value{};
  kernel::download(ctx.backend(), &value, square.data(), sizeof value);
  return static_cast<double>(value);
}

/// The channels of x centred over the real rows, their covariances, and how far those are from a multiple of the
/// identity.
template <class B>
struct Whiteness {
  Tensor<B, 2> centred;      ///< (rows, C); 0 in padded rows
  Tensor<B, 3> covariances;  ///< (groups, C / groups, C / groups), summed, not averaged, over rows
  double mean_variance = 0;  ///< mean of the diagonals
  double mean_square = 0;    ///< sum of all squares, over C

  /// At least 1.
  double metric() const { return mean_square / (mean_variance * mean_variance + 1e-20); }

  template <class S>
  Whiteness(Context<B>& ctx, View<const S, 2> x, const kernel::RealRows& rows, long groups) {
    const long channels = x.shape[1], width = channels / groups;
    const auto moments = ctx.template empty_of<kernel::Wide<S>, 2>(Shape<2>{2, channels});
    kernel::column_moments(ctx.backend(), x, rows, moments.data(), moments.data() + channels);
    const Tensor<B, 1> mean = ctx.empty(Shape<1>{channels});
    read_on_host(ctx, moments, [&](const kernel::Wide<S>* from) {
      fill_from_host(ctx, mean, [&](S* to) {
        for (long c = 0; c < channels; ++c) to[c] = S(from[c]);
      });
    });
    centred = ctx.empty(Shape<2>{x.shape[0], channels});
    for (long n = 0; n < rows.batch; ++n) {
      const long first = n * rows.each, real = rows.of(n);
      kernel::subtract_columns(ctx.backend(), View<const S, 2>(x.row(first), {real, channels}, x.stride),
                               static_cast<const S*>(mean.data()),
                               Sink<S, 2>(centred.data() + first * channels, {real, channels}, false));
      kernel::fill(ctx.backend(), centred.data() + (first + real) * channels, (rows.each - real) * channels, S(0));
    }
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
    const Tensor<B, 1> diagonals = ctx.empty(Shape<1>{channels});
    for (long g = 0; g < groups; ++g)
      kernel::take_diagonal(ctx.backend(), covariances.in()[g], diagonals.data() + g * width);
    read_on_host(ctx, diagonals, [&](const S* from) {
      for (long c = 0; c < channels; ++c) mean_variance += static_cast<double>(from[c]);
    });
    mean_variance /= static_cast<double>(channels);
    mean_square =
        square_of(ctx, View<const S, 2>(covariances.data(), {groups * width, width})) / static_cast<double>(channels);
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
  return detail::Whiteness<B>(x.context(), detail::columns_of(as_rows(x.in()), options.first, channels),
                              detail::real_rows(x.shape(), lengths), options.groups)
      .metric();
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
        const detail::Whiteness<B> found(c, part, rows, options.groups);
        if (found.metric() < options.limit) return detail::hand_on(c, dy, x);

        // The penalty's gradient is X M with M = (4 / C) (S / e - (a b / e²) I); M takes the place of S.
        const long width = channels / options.groups;
        const double e = found.mean_variance * found.mean_variance + 1e-20;
        const double outer = 4 / (static_cast<double>(channels) * e);
        const double inner = outer * found.mean_variance * found.mean_square / e;
        S* const m = found.covariances.data();
        kernel::scale(c.backend(), S(outer), detail::flat(found.covariances), m, false);
        const Tensor<B, 1> share = c.full(Shape<1>{width}, S(-inner));
        for (long g = 0; g < options.groups; ++g)
          kernel::put_diagonal(c.backend(), static_cast<const S*>(share.data()),
                               Sink<S, 2>(m + g * width * width, {width, width}, true));
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
        const double size =
            std::sqrt(detail::square_of(c, detail::columns_of(as_rows(dy.in()), options.first, channels)));
        const double factor = options.scale * size / (std::sqrt(detail::square_of(c, penalty.in())) + 1e-20);
        detail::hand_on(c, dy, x);
        const auto dx = c.sink(x);
        if (!dx) return;
        if (channels == x.extent(R - 1)) {
          kernel::scale(c.backend(), S(factor), detail::flat(penalty), dx.data, true);
        } else {
          kernel::scale(c.backend(), S(factor), detail::flat(penalty), penalty.data(), false);
          View<S, 2> to = as_rows(View<S, R>(dx));
          kernel::copy_block(c.backend(), penalty.in(), detail::columns_of(to, options.first, channels), true);
        }
      },
      x);
}

}  // namespace phonaut
