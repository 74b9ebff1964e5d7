#pragma once
// Convolution of images (N, T, F, C): time, frequency, channels innermost. A matrix product over patches, gathered in
// blocks: on a processor as many as stay in its cache, on a GPU as many as keep it busy.
#include <algorithm>

#include "phonaut/ops/column_sum.hpp"
#include "phonaut/ops/gemm.hpp"
#include "phonaut/ops/patch_geometry.hpp"
#include "phonaut/ops/shape.hpp"

namespace phonaut {

/// Options of `conv2d`.
struct Conv2dOptions {
  TimeFrequency stride{1, 1};
  TimeFrequency padding{0, 0};  ///< zeros on either side
  long dilation = 1;            ///< frames from a tap to the next
};

namespace kernel {

/// Rows of `patches`, one per place (n, t, f) of the result with t in [first, first + times), for all images of x
/// (N, T, F, C) one after the other: the kernel.time x kernel.frequency x C elements that the filter sees there,
/// channels innermost, 0 outside of the image.
template <class S>
void gather_patches(const Reference&, View<const S, 4> x, const PatchGeometry& g, long first, long times,
                    View<S, 2> patches) {
  const long channels = x.shape[3], run = g.kernel.frequency * channels;
  for (long n = 0; n < x.shape[0]; ++n)
    for (long t = 0; t < times; ++t)
      for (long f = 0; f < g.frequencies; ++f)
        for (long i = 0; i < g.kernel.time; ++i) {
          const long from_t = (first + t) * g.stride.time + i * g.dilation - g.padding.time;
          S* to = patches.row((n * times + t) * g.frequencies + f) + i * run;
          for (long j = 0; j < g.kernel.frequency; ++j, to += channels) {
            const long from_f = f * g.stride.frequency + j - g.padding.frequency;
            const bool inside = from_t >= 0 && from_t < x.shape[1] && from_f >= 0 && from_f < x.shape[2];
            if (inside) std::copy_n(&x(n, from_t, from_f, 0), channels, to);
            else std::fill_n(to, channels, S(0));
          }
        }
}
/// The transpose: adds every element of `patches` to where `gather_patches` takes it from in dx (N, T, F, C).
template <class S>
void scatter_patches(const Reference&, View<const S, 2> patches, const PatchGeometry& g, long first, long times,
                     View<S, 4> dx) {
  const long channels = dx.shape[3], run = g.kernel.frequency * channels;
  for (long n = 0; n < dx.shape[0]; ++n)
    for (long t = 0; t < times; ++t)
      for (long f = 0; f < g.frequencies; ++f)
        for (long i = 0; i < g.kernel.time; ++i) {
          const long to_t = (first + t) * g.stride.time + i * g.dilation - g.padding.time;
          const S* from = patches.row((n * times + t) * g.frequencies + f) + i * run;
          for (long j = 0; j < g.kernel.frequency; ++j, from += channels) {
            const long to_f = f * g.stride.frequency + j - g.padding.frequency;
            if (to_t < 0 || to_t >= dx.shape[1] || to_f < 0 || to_f >= dx.shape[2]) continue;
            for (long c = 0; c < channels; ++c) dx(n, to_t, to_f, c) += from[c];
          }
        }
}

void gather_patches(const Cpu& cpu, View<const float, 4> x, const PatchGeometry& g, long first, long times,
                    View<float, 2> patches);
void scatter_patches(const Cpu& cpu, View<const float, 2> patches, const PatchGeometry& g, long first, long times,
                     View<float, 4> dx);
void gather_patches(const Cuda& cuda, View<const float, 4> x, const PatchGeometry& g, long first, long times,
                    View<float, 2> patches);
void scatter_patches(const Cuda& cuda, View<const float, 2> patches, const PatchGeometry& g, long first, long times,
                     View<float, 4> dx);

/// One block: which images, and which frames of their results. Several images have all of them there, so that what
/// the block has of the result is one matrix.
struct PatchBlock {
  long n = 0, images = 0, first = 0, times = 0;
};

/// How many patches are looked at together: on a processor those of as many frames of one image as have theirs in 512
/// KiB, half of a level-2 cache; on a GPU enough to keep it busy, those of as many images as have theirs in 64 MiB.
template <class B>
struct PatchBlocks {
  static constexpr bool on_host = std::is_same_v<typename B::Memory, HostMemory>;
  static constexpr long most_elements = on_host ? 1L << 17 : 1L << 24;

  long images, times;  ///< of a block, at most; more than one image only with all frames
  /// For images `x` (N, T, F, C) whose results have `all_times` frames.
  PatchBlocks(const PatchGeometry& g, const Shape<4>& x, long all_times) {
    const long frames = most_elements / std::max(1L, g.frequencies * g.width(x[3]));
    images = on_host ? 1 : std::clamp(frames / std::max(1L, all_times), 1L, std::max(1L, x[0]));
    times = std::clamp(frames, 1L, std::max(1L, all_times));
  }
  /// Rows of the scratch that holds the patches of any block.
  long rows(const PatchGeometry& g) const { return images * times * g.frequencies; }

  /// Calls run(block) for all blocks of `batch` images, some images after the other.
  template <class F>
  void for_each_block(long batch, long all_times, const F& run) const {
    for (long n = 0; n < batch; n += images)
      for (long first = 0; first < all_times; first += times)
        run(PatchBlock{n, std::min(images, batch - n), first, std::min(times, all_times - first)});
  }
};

/// The block's images (images, T, F, C) of x (N, T, F, C).
template <class S>
View<S, 4> images_of(const PatchBlock& at, View<S, 4> x) {
  x.data += at.n * x.stride[0];
  x.shape[0] = at.images;
  return x;
}

/// y = patches(x) wᵀ + bias; x (N, T, F, C), w (O, kernel.time · kernel.frequency · C), y (N, T', F', O). `patches` is
/// scratch of blocks.rows(g) rows.
template <class B, class S>
void conv2d_forward(const B& backend, View<const S, 4> x, View<const S, 2> w, const S* bias, const PatchGeometry& g,
                    const PatchBlocks<B>& blocks, View<S, 2> patches, View<S, 4> y) {
  blocks.for_each_block(x.shape[0], y.shape[1], [&](const PatchBlock& at) {
    gather_patches(backend, images_of(at, x), g, at.first, at.times, patches);
    gemm(backend, Gemm<S>{.m = at.images * at.times * g.frequencies,
                          .n = w.shape[0],
                          .k = w.shape[1],
                          .a = patches.data,
                          .a_row = patches.stride[0],
                          .b = w.data,
                          .b_row = 1,
                          .b_col = w.stride[0],
                          .c = y.data + at.n * y.stride[0] + at.first * y.stride[1],
                          .c_row = y.stride[2],
                          .bias = bias});
  });
}
/// dw = Σ dyᵀ patches(x), dx = scattered dy w, dbias = Σ dy; shapes and scratch as in `conv2d_forward`.
template <class B, class S>
void conv2d_backward(const B& backend, View<const S, 4> dy, View<const S, 4> x, View<const S, 2> w,
                     const PatchGeometry& g, const PatchBlocks<B>& blocks, View<S, 2> patches, Sink<S, 4> dx,
                     Sink<S, 2> dw, Sink<S, 1> dbias) {
  if (dx && !dx.add) fill(backend, dx.data, dx.size(), S(0));
  bool add = dw.add;
  blocks.for_each_block(x.shape[0], dy.shape[1], [&](const PatchBlock& at) {
    const long count = at.images * at.times * g.frequencies;
    const S* rows = dy.data + at.n * dy.stride[0] + at.first * dy.stride[1];
    if (dw) {
      gather_patches(backend, images_of(at, x), g, at.first, at.times, patches);
      gemm(backend, Gemm<S>{.m = w.shape[0],
                            .n = w.shape[1],
                            .k = count,
                            .a = rows,
                            .a_row = 1,
                            .a_col = dy.stride[2],
                            .b = patches.data,
                            .b_row = patches.stride[0],
                            .c = dw.data,
                            .c_row = dw.stride[0],
                            .add = add});
      add = true;
    }
    if (dx) {
      gemm(backend, Gemm<S>{.m = count,
                            .n = w.shape[1],
                            .k = w.shape[0],
                            .a = rows,
                            .a_row = dy.stride[2],
                            .b = w.data,
                            .b_row = w.stride[0],
                            .c = patches.data,
                            .c_row = patches.stride[0]});
      scatter_patches(backend, View<const S, 2>(patches), g, at.first, at.times, images_of(at, View<S, 4>(dx)));
    }
  });
  if (dw && !add) fill(backend, dw.data, dw.size(), S(0));
  if (dbias) column_sum(backend, as_rows(dy), dbias);
}

}  // namespace kernel

/// Images (N, T, F, C) -> (N, T', F', O) with T' = (T + 2·padding - span) / stride + 1 and likewise F', where span =
/// (kernel - 1) dilation + 1; weight
/// (O, kernel in time, kernel in frequency, C), bias (O) or absent. Throws ShapeError if they do not fit or the image
/// is smaller than the kernel.
template <class B>
Var<B, 4> conv2d(const Var<B, 4>& any, Weight<B, 4> weight, Weight<B, 1> bias, const Conv2dOptions& options = {}) {
  using S = typename B::Scalar;
  if (options.dilation < 1)
    throw ConfigError(concat("conv2d: the dilation must be at least 1, got ", options.dilation));
  check_channels("conv2d", any.shape(), weight.extent(3), "weight ", weight.shape());
  if (bias && bias.extent(0) != weight.extent(0))
    throw ShapeError(concat("conv2d: bias ", text(bias.shape()), " does not fit weight ", text(weight.shape())));
  const Var<B, 4> x = packed(any);
  const auto size = [](long n, long kernel, long stride, long padding) {
    return n + 2 * padding < kernel ? -1 : (n + 2 * padding - kernel) / stride + 1;
  };
  const long span = (weight.extent(1) - 1) * options.dilation + 1;
  const long times = size(x.extent(1), span, options.stride.time, options.padding.time);
  const long frequencies = size(x.extent(2), weight.extent(2), options.stride.frequency, options.padding.frequency);
  if (times < 1 || frequencies < 1)
    throw ShapeError(concat("conv2d: an image of ", x.extent(1), " x ", x.extent(2),
                            " (time x frequency) is smaller than the kernel of ", span, " x ", weight.extent(2)));
  const kernel::PatchGeometry g{
      {weight.extent(1), weight.extent(2)}, options.stride, options.padding, frequencies, options.dilation};
  auto& ctx = x.context();
  const Var<B, 4> lifted = ctx.lift(weight);
  const Var<B, 2> w = reshape(lifted, Shape<2>{weight.extent(0), g.width(weight.extent(3))});
  const Var<B, 1> b = ctx.lift(bias);
  const kernel::PatchBlocks<B> blocks(g, x.shape(), times);
  const auto scratch = [g, blocks, channels = x.extent(3)](Context<B>& c) {
    return c.empty(Shape<2>{blocks.rows(g), g.width(channels)});
  };
  auto y = ctx.empty(Shape<4>{x.extent(0), times, frequencies, weight.extent(0)});
  kernel::conv2d_forward(ctx.backend(), x.in(), w.in(), b ? b.in().data : nullptr, g, blocks, scratch(ctx).out(),
                         y.out());
  return record(
      std::move(y),
      [x, w, b, g, blocks, scratch](Context<B>& c, const Tensor<B, 4>& dy) {
        const Sink<S, 4> dx = c.sink(x);
        kernel::conv2d_backward(c.backend(), dy.in(), x.in(), w.in(), g, blocks, scratch(c).out(), dx, c.sink(w),
                                c.sink(b));
      },
      x, w, b);
}

}  // namespace phonaut
