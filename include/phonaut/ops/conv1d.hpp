#pragma once
// 1-D convolution over frames. (PyTorch, like most, says convolution for what is a correlation; so do we.)
#include "phonaut/core/sequence.hpp"
#include "phonaut/ops/column_sum.hpp"
#include "phonaut/ops/conv1d_products.hpp"
#include "phonaut/ops/map.hpp"
#include "phonaut/ops/shape.hpp"

namespace phonaut {

namespace detail {

/// Throws ConfigError for a grid that makes no sense.
inline void check_grid(const char* op, const ConvGrid& grid, long groups) {
  if (grid.taps < 1 || grid.stride < 1 || grid.dilation < 1 || groups < 1 || grid.before < 0 || grid.after < 0)
    throw ConfigError(concat(op, ": taps ", grid.taps, ", stride ", grid.stride, ", dilation ", grid.dilation,
                             ", groups ", groups, " must be at least 1 and padding ", grid.before, " and ", grid.after,
                             " at least 0"));
}
/// Frames (N, T, C) as they are, seen as one group: (1, N, T, C).
template <class S>
View<S, 4> as_one_group(const View<S, 3>& x) {
  return {x.data, {1, x.shape[0], x.shape[1], x.shape[2]}, {0, x.stride[0], x.stride[1], 1}};
}
/// The gradient of a weight from gathered input rows and the gradient dy of the output.
template <class B>
void conv_weight_gradient(Context<B>& ctx, const ConvGrid& grid, const Tensor<B, 4>& rows, const Tensor<B, 3>& dy,
                          Sink<typename B::Scalar, 3> dw) {
  const Shape<3>& shape = dy.shape();
  const long row = grid.stride * rows.extent(3), per_utterance = rows.in().stride[1] / row;
  if (shape[0] < 2 || rows.in().stride[1] != per_utterance * row || per_utterance < shape[1]) {
    kernel::conv_weight_products(ctx.backend(), grid, rows.in(), dy.in(), dw);
    return;
  }
  // One long product instead of one per utterance. If an utterance has more rows than dy has frames, dy gets zeros
  // there; but not behind the last utterance, where there may be no input to read.
  Tensor<B, 4> wide(dy.storage(), Shape<4>{1, shape[0], shape[1], shape[2]});
  if (per_utterance > shape[1]) {
    wide = ctx.empty(Shape<4>{1, shape[0], per_utterance, shape[2]});
    kernel::conv_gather(ctx.backend(), dy.in(), nullptr, 0, wide.out());
  }
  const long together = (shape[0] - 1) * per_utterance + shape[1];
  kernel::conv_weight_products(ctx.backend(), grid, rows.in(),
                               View<const typename B::Scalar, 3>(wide.data(), {1, together, shape[2]}), dw);
}

/// conv1d, then f; with another f than none, of what is not recorded.
template <class B>
Sequence<B> convolve(const Sequence<B>& in, const Weight<B, 3>& weight, const Weight<B, 1>& bias, const ConvGrid& grid,
                     long groups, kernel::Activation f) {
  using S = typename B::Scalar;
  const Shape<3>&shape = in.frames.shape(), &filter = weight.shape();
  check_grid("conv1d", grid, groups);
  if (filter[1] != grid.taps || filter[2] * groups != shape[2] || filter[0] % groups != 0)
    throw ShapeError(concat("conv1d: input ", text(shape), " and ", groups, " groups of ", grid.taps,
                            " taps do not fit the weight ", text(filter)));
  if (bias && bias.extent(0) != filter[0])
    throw ShapeError(concat("conv1d: bias ", text(bias.shape()), " does not fit weight ", text(filter)));
  check_lengths("conv1d", in);
  auto& ctx = in.context();
  const Var<B, 3> w = packed(ctx.lift(weight));
  const Var<B, 1> b = ctx.lift(bias);

  // Frames that lie one behind the other are convolved where they are. A copy is needed to put zeros around them, or
  // groups apart; its frames are a multiple of the stride, so that the rows of all utterances have one distance.
  const bool in_place = grid.before == 0 && grid.after == 0 && groups == 1;
  const Var<B, 3> x = in_place ? packed(in.frames) : in.frames;
  // Only padding behind an utterance could show its valid outputs what stands in its padded tail.
  const Lengths lengths = grid.after > 0 ? in.lengths : Lengths{};
  Tensor<B, 4> rows;
  const long frames = grid.frames_out(shape[1]);
  if (in_place) {
    rows = Tensor<B, 4>(x.tensor().storage(), as_one_group(x.tensor().out()));
  } else {
    const long needed = std::max(grid.before + shape[1] + grid.after, 1L);
    rows = ctx.empty(Shape<4>{groups, shape[0], (needed + grid.stride - 1) / grid.stride * grid.stride, filter[2]});
    kernel::conv_gather(ctx.backend(), x.in(), lengths ? lengths.data() : nullptr, grid.before, rows.out());
  }
  auto y = ctx.empty(Shape<3>{shape[0], frames, filter[0]});
  kernel::conv_products(ctx.backend(), grid, rows.in(), w.in(), data_of(b), y.out(), false, f);
  auto out = record(
      std::move(y),
      [x = target(x), rows, w, b, grid, lengths, in_place](Context<B>& c, const Tensor<B, 3>& dy) {
        if (auto db = c.sink(b)) kernel::column_sum(c.backend(), as_rows(dy.in()), db);
        if (auto dw = c.sink(w)) conv_weight_gradient(c, grid, rows, dy, dw);
        if (auto dx = c.sink(x)) {
          if (in_place) {
            if (!dx.add) kernel::fill(c.backend(), dx.data, dx.size(), S(0));
            kernel::conv_transposed_products(c.backend(), grid, dy.in(), w.in(), as_one_group(View<S, 3>(dx)));
          } else {
            const Tensor<B, 4> drows = c.zeros(rows.shape());
            kernel::conv_transposed_products(c.backend(), grid, dy.in(), w.in(), drows.out());
            kernel::conv_scatter(c.backend(), drows.in(), static_cast<const S*>(nullptr),
                                 lengths ? lengths.data() : nullptr, grid.before, dx);
          }
        }
      },
      x, w, b);
  return {std::move(out), map_lengths(in, [&](long n) { return grid.frames_out(n); }),
          in.rate / static_cast<double>(grid.stride)};
}

}  // namespace detail

/// y[n, j] = bias + Σ_k w[:, k] x[n, j·stride + k·dilation - before], with zeros outside of an utterance.
/// x (N, T, in), weight (out, taps, in / groups) and bias (out) or absent -> (N, grid.frames_out(T), out). Published
/// weights (out, in / groups, taps) are transposed on loading. Each utterance gives what it gives alone. Throws
/// ShapeError or ConfigError for parts that do not fit.
template <class B>
Sequence<B> conv1d(const Sequence<B>& in, Weight<B, 3> weight, Weight<B, 1> bias, const ConvGrid& grid,
                   long groups = 1) {
  return detail::convolve<B>(in, weight, bias, grid, groups, kernel::Activation::none);
}

/// f(conv1d(…)); f is a formula of ops/formula. Where nothing is recorded the product computes f too, if it knows it
/// (ops/product_activation.hpp). Throws as conv1d does.
template <class F, class B>
Sequence<B> conv1d_activation(const Sequence<B>& in, Weight<B, 3> weight, Weight<B, 1> bias, const ConvGrid& grid,
                              long groups = 1, F f = {}) {
  if (kernel::activation_of<F> != kernel::Activation::none && !in.context().recording())
    return detail::convolve<B>(in, weight, bias, grid, groups, kernel::activation_of<F>);
  Sequence<B> y = conv1d<B>(in, weight, bias, grid, groups);
  y.frames = map(y.frames, f);
  return y;
}

}  // namespace phonaut
