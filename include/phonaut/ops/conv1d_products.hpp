#pragma once
// 1-D convolution over channels-last frames as matrix products. An output frame sees `taps` neighbouring input frames,
// which lie one behind the other in memory: with overlapping rows, the convolution is a product of them with the
// weight, and nothing has to be copied into columns (no im2col). Dilated taps do not lie together; then each tap is a
// product of its own. The same three products serve the transposed convolution with their parts exchanged.
#include <algorithm>

#include "phonaut/core/primitives.hpp"
#include "phonaut/ops/gemm.hpp"

namespace phonaut {

/// How a 1-D convolution moves over time.
struct ConvGrid {
  long taps = 1, stride = 1, dilation = 1;
  long before = 0, after = 0;  ///< zero frames that are thought of around the input

  /// Input frames that one output frame sees.
  PHONAUT_HD PHONAUT_INLINE constexpr long span() const { return dilation * (taps - 1) + 1; }
  /// Output frames for `time` input frames.
  PHONAUT_HD PHONAUT_INLINE constexpr long frames_out(long time) const {
    const long room = time + before + after - span();
    return time <= 0 || room < 0 ? 0 : room / stride + 1;
  }
  /// Frames that a transposed convolution makes of `time` frames; before and after are cut off.
  PHONAUT_HD PHONAUT_INLINE constexpr long frames_back(long time) const {
    const long all = (time - 1) * stride + span() - before - after;
    return time <= 0 || all < 0 ? 0 : all;
  }
};

namespace kernel {

/// Frames for the products: y (G, N, frames, C / G) = x (N, T, C), `before` frames later, group by group; zeros where
/// x has no frame below lengths[n]. Each utterance of y is packed.
template <class S>
void conv_gather(const Reference&, View<const S, 3> x, const long* lengths, long before, View<S, 4> y) {
  const long width = y.shape[3], frames = y.shape[2];
  for (long g = 0; g < y.shape[0]; ++g)
    for (long n = 0; n < y.shape[1]; ++n) {
      const long time = lengths ? lengths[n] : x.shape[1], first = std::min(before, frames);
      const long real = std::min(time, frames - first);
      // Without frames x may have no memory.
      const S* from = real > 0 ? x.data + n * x.stride[0] + g * width : nullptr;
      S* to = y.data + g * y.stride[0] + n * y.stride[1];
      std::fill_n(to, first * width, S(0));
      if (x.stride[1] == width) {
        std::copy_n(from, real * width, to + first * width);
      } else {
        for (long t = 0; t < real; ++t) std::copy_n(from + t * x.stride[1], width, to + (first + t) * width);
      }
      std::fill_n(to + (first + real) * width, (frames - first - real) * width, S(0));
    }
}
/// The way back: y (N, T, C) = x (G, N, frames, C / G) from frame `before` on, plus bias (C) or null; 0 from lengths[n]
/// on, where lengths is not null.
template <class S>
void conv_scatter(const Reference&, View<const S, 4> x, const S* bias, const long* lengths, long before, Sink<S, 3> y) {
  const long width = x.shape[3], time = y.shape[1], channels = y.shape[2];
  for (long n = 0; n < y.shape[0]; ++n)
    for (long t = 0; t < time; ++t)
      for (long g = 0; g < x.shape[0]; ++g) {
        const S* from = x.data + g * x.stride[0] + n * x.stride[1] + (t + before) * x.stride[2];
        const bool real = !lengths || t < lengths[n];
        for (long c = 0; c < width; ++c)
          y.put((n * time + t) * channels + g * width + c,
                real ? (bias ? from[c] + bias[g * width + c] : from[c]) : S(0));
      }
}

/// Taps that one product covers: they must lie together in memory.
PHONAUT_INLINE long taps_at_once(const ConvGrid& grid, long most) { return grid.dilation == 1 ? most : 1; }

/// y (N, frames out, out) (= or +=) x (G, N, frames, in / G) * w (out, taps, in / G) + bias, then f of that.
template <class B, class S>
void conv_products(const B& backend, const ConvGrid& grid, View<const S, 4> x, View<const S, 3> w, const S* bias,
                   View<S, 3> y, bool add, Activation f = Activation::none) {
  if (y.size() == 0) return;
  const long groups = x.shape[0], width = x.shape[3], out = w.shape[0] / groups, row = grid.taps * width;
  const long at_once = taps_at_once(grid, grid.taps);
  for (long g = 0; g < groups; ++g)
    for (long tap = 0; tap < grid.taps; tap += at_once)
      gemm(backend, Gemm<S>{.m = y.shape[1],
                            .n = out,
                            .k = at_once * width,
                            .a = x.data + g * x.stride[0] + tap * grid.dilation * width,
                            .a_row = grid.stride * width,
                            .a_col = 1,
                            .b = w.data + g * out * row + tap * width,
                            .b_row = 1,
                            .b_col = row,
                            .c = y.data + g * out,
                            .c_row = y.stride[1],
                            .add = add || tap > 0,
                            .bias = bias && tap == 0 ? bias + g * out : nullptr,
                            .batch = y.shape[0],
                            .a_batch = x.stride[1],
                            .b_batch = 0,
                            .c_batch = y.stride[0],
                            .activation = tap + at_once < grid.taps ? Activation::none : f});
}
/// x (G, N, frames, in / G) += what y (N, frames out, out) had seen of it: the transposed products, with neighbouring
/// taps together as far as their frames do not overlap.
template <class B, class S>
void conv_transposed_products(const B& backend, const ConvGrid& grid, View<const S, 3> y, View<const S, 3> w,
                              View<S, 4> x) {
  if (y.size() == 0) return;
  const long groups = x.shape[0], width = x.shape[3], out = w.shape[0] / groups, row = grid.taps * width;
  const long at_once = taps_at_once(grid, grid.stride);
  for (long g = 0; g < groups; ++g)
    for (long tap = 0; tap < grid.taps; tap += at_once)
      gemm(backend, Gemm<S>{.m = y.shape[1],
                            .n = std::min(at_once, grid.taps - tap) * width,
                            .k = out,
                            .a = y.data + g * out,
                            .a_row = y.stride[1],
                            .a_col = 1,
                            .b = w.data + g * out * row + tap * width,
                            .b_row = row,
                            .b_col = 1,
                            .c = x.data + g * x.stride[0] + tap * grid.dilation * width,
                            .c_row = grid.stride * width,
                            .add = true,
                            .batch = y.shape[0],
                            .a_batch = y.stride[0],
                            .b_batch = 0,
                            .c_batch = x.stride[1]});
}
/// dw (out, taps, in / G) (= or +=) Σ over utterances and frames of y (N, frames out, out) with what it sees of
/// x (G, N, frames, in / G).
template <class B, class S>
void conv_weight_products(const B& backend, const ConvGrid& grid, View<const S, 4> x, View<const S, 3> y,
                          Sink<S, 3> dw) {
  const long groups = x.shape[0], width = x.shape[3], out = dw.shape[0] / groups, row = grid.taps * width;
  const long at_once = taps_at_once(grid, grid.taps);
  if (!dw.add && (y.shape[0] == 0 || y.shape[1] == 0)) {
    fill(backend, dw.data, dw.size(), S(0));
    return;
  }
  for (long g = 0; g < groups; ++g)
    for (long n = 0; n < y.shape[0]; ++n)
      for (long tap = 0; tap < grid.taps; tap += at_once)
        gemm(backend, Gemm<S>{.m = out,
                              .n = at_once * width,
                              .k = y.shape[1],
                              .a = y.data + n * y.stride[0] + g * out,
                              .a_row = 1,
                              .a_col = y.stride[1],
                              .b = x.data + g * x.stride[0] + n * x.stride[1] + tap * grid.dilation * width,
                              .b_row = grid.stride * width,
                              .b_col = 1,
                              .c = dw.data + g * out * row + tap * width,
                              .c_row = row,
                              .add = dw.add || n > 0});
}

void conv_gather(const Cuda& cuda, View<const float, 3> x, const long* lengths, long before, View<float, 4> y);
void conv_scatter(const Cuda& cuda, View<const float, 4> x, const float* bias, const long* lengths, long before,
                  Sink<float, 3> y);
void conv_products(const Cuda& cuda, const ConvGrid& grid, View<const float, 4> x, View<const float, 3> w,
                   const float* bias, View<float, 3> y, bool add, Activation f = Activation::none);
void conv_transposed_products(const Cuda& cuda, const ConvGrid& grid, View<const float, 3> y, View<const float, 3> w,
                              View<float, 4> x);
void conv_weight_products(const Cuda& cuda, const ConvGrid& grid, View<const float, 4> x, View<const float, 3> y,
                          Sink<float, 3> dw);

}  // namespace kernel
}  // namespace phonaut
