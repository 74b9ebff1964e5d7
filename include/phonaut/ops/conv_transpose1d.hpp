#pragma once
// Transposed 1-D convolution over frames: the gradient of a convolution as a forward map, which makes frames denser.
#include "phonaut/ops/conv1d.hpp"
#include "phonaut/ops/mask_frames.hpp"

namespace phonaut {

/// Every input frame adds w[:, k] x[n, j] to output frame j·stride + k·dilation - before. x (N, T, in), weight
/// (in, taps, out / groups) and bias (out) or absent -> (N, grid.frames_back(T), out); `before` and `after` frames are
/// cut off the ends. Published weights (in, out / groups, taps) are transposed on loading. Each utterance gives what it
/// gives alone. Throws ShapeError or ConfigError for parts that do not fit.
template <class B>
Sequence<B> conv_transpose1d(const Sequence<B>& any, Weight<B, 3> weight, Weight<B, 1> bias, const ConvGrid& grid,
                             long groups = 1) {
  using S = typename B::Scalar;
  const Shape<3>&shape = any.frames.shape(), &filter = weight.shape();
  const long channels = filter[2] * groups;
  detail::check_grid("conv_transpose1d", grid, groups);
  if (filter[1] != grid.taps || filter[0] != shape[2] || filter[0] % groups != 0)
    throw ShapeError(concat("conv_transpose1d: input ", text(shape), " and ", groups, " groups of ", grid.taps,
                            " taps do not fit the weight ", text(filter)));
  if (bias && bias.extent(0) != channels)
    throw ShapeError(concat("conv_transpose1d: bias ", text(bias.shape()), " does not fit weight ", text(filter),
                            " in ", groups, " groups"));
  // Frames of the padded tail reach into the utterance where neighbours overlap or the front is cut off.
  const Sequence<B> in = grid.span() > grid.stride || grid.before > 0 ? mask_frames(any) : any;
  auto& ctx = in.context();
  const Var<B, 3> x = packed(in.frames), w = packed(ctx.lift(weight));
  const Var<B, 1> b = ctx.lift(bias);
  const long frames = grid.frames_back(shape[1]);
  // All frames, before the ends are cut off; a multiple of the stride, as the products of the weight like it.
  const long all = std::max((shape[1] - 1) * grid.stride + grid.span(), 1L);
  const Shape<4> rows_shape{groups, shape[0], (all + grid.stride - 1) / grid.stride * grid.stride, filter[2]};
  auto y = ctx.empty(Shape<3>{shape[0], frames, channels});
  {
    const Tensor<B, 4> rows = ctx.zeros(rows_shape);
    kernel::conv_transposed_products(ctx.backend(), grid, x.in(), w.in(), rows.out());
    kernel::conv_scatter(ctx.backend(), rows.in(), detail::data_of(b), nullptr, grid.before,
                         Sink<S, 3>(y.data(), y.shape(), false));
  }
  auto out = record(
      std::move(y),
      [x, w, b, grid, rows_shape](Context<B>& c, const Tensor<B, 3>& dy) {
        if (auto db = c.sink(b)) kernel::column_sum(c.backend(), as_rows(dy.in()), db);
        auto dx = c.sink(x);
        auto dw = c.sink(w);
        if (!dx && !dw) return;
        const Tensor<B, 4> rows = c.empty(rows_shape);
        kernel::conv_gather(c.backend(), dy.in(), nullptr, grid.before, rows.out());
        if (dx)
          kernel::conv_products(c.backend(), grid, rows.in(), w.in(), static_cast<const S*>(nullptr), View<S, 3>(dx),
                                dx.add);
        if (dw) detail::conv_weight_gradient(c, grid, rows, x.tensor(), dw);
      },
      x, w, b);
  return {std::move(out), map_lengths(in, [&](long n) { return grid.frames_back(n); }),
          in.rate * static_cast<double>(grid.stride)};
}

}  // namespace phonaut
