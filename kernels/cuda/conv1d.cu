// Convolutions over time: as matrix products (ops/conv1d_products.hpp), or by cuDNN where these would be many. What
// moves frames to where products see them, and patches of images.
#include "phonaut/ops/conv1d_products.hpp"

#include "elementwise.cuh"
#include "epilogue.cuh"
#include "phonaut/ops/conv2d.hpp"
#include "strips.hpp"
#include "way.hpp"

namespace phonaut::kernel {

namespace {

using cuda::Convolution;

/// Whether cuDNN is asked before the products. Taps that lie apart are a product each; so are the strips of rows that
/// overlap, of which each is as long as a stride (kernels/cuda/gemm.cu). Forward and towards x every product reads and
/// writes the whole result: up to four of them are taken for as good as a convolution in one go, but not those that are
/// so short that own tiles would multiply them (strips.hpp). Products towards w read x and y, whose share of w they
/// write alone; that many of them would be a matter of launches, from some 16 on. Reasoned, not measured.
bool by_cudnn(Convolution::Pass pass, const ConvGrid& grid, long width) {
  switch (cuda::way<cuda::ConvolutionWay>()) {
    case cuda::ConvolutionWay::products:
      return false;
    case cuda::ConvolutionWay::cudnn:
      return true;
    case cuda::ConvolutionWay::by_shape:
      break;
  }
  const long products = grid.dilation > 1 ? grid.taps : (grid.taps + grid.stride - 1) / grid.stride;
  if (pass == Convolution::Pass::filter) return products > 16;
  return products > 4 || (products > 1 && grid.stride * width < cuda::shortest_of_sum);
}

/// Group g of a convolution between x (G, N, frames, in / G) and y (N, frames out, out).
template <class X, class Y>
Convolution convolution_of(Convolution::Pass pass, const ConvGrid& grid, const View<X, 4>& x, const View<Y, 3>& y,
                           bool add) {
  Convolution c;
  c.pass = pass;
  c.batch = y.shape[0];
  c.frames = y.shape[1];
  c.in = x.shape[3];
  c.out = y.shape[2] / x.shape[0];
  c.taps = grid.taps;
  c.stride = grid.stride;
  c.dilation = grid.dilation;
  c.x_frame = x.stride[2];
  c.y_frame = y.stride[1];
  // Of a single utterance the strides say nothing, and may be those of a part of it.
  c.x_batch = c.batch > 1 ? x.stride[1] : c.frames_seen() * c.x_frame;
  c.y_batch = c.batch > 1 ? y.stride[0] : c.frames * c.y_frame;
  c.add = add;
  return c;
}
bool is_empty(const Convolution& c) { return c.batch == 0 || c.frames == 0 || c.in == 0 || c.out == 0 || c.taps == 0; }

/// cuDNN is told which of three tensors it writes by the pass, not by their types.
float* any(const float* p) { return const_cast<float*>(p); }

template <class X>
View<X, 4> group_of(const View<X, 4>& x, long g) {
  return {x.data + g * x.stride[0], {1, x.shape[1], x.shape[2], x.shape[3]}, x.stride};
}
template <class Y>
View<Y, 3> group_of(const View<Y, 3>& y, long g, long groups) {
  const long width = y.shape[2] / groups;
  return {y.data + g * width, {y.shape[0], y.shape[1], width}, y.stride};
}
/// Of a weight (out, taps, in / G).
template <class W>
View<W, 3> rows_of(const View<W, 3>& w, long g, long groups) {
  const long out = w.shape[0] / groups;
  return {w.data + g * out * w.shape[1] * w.shape[2], {out, w.shape[1], w.shape[2]}};
}

}  // namespace

void conv_products(const Cuda& cuda, const ConvGrid& grid, View<const float, 4> x, View<const float, 3> w,
                   const float* bias, View<float, 3> y, bool add, Activation f) {
  const Convolution c = convolution_of(Convolution::Pass::forward, grid, x, y, add);
  if (is_empty(c) || !by_cudnn(c.pass, grid, c.in))
    return conv_products<Cuda, float>(cuda, grid, x, w, bias, y, add, f);
  const long groups = x.shape[0];
  for (long g = 0; g < groups; ++g) {
    const auto from = group_of(x, g);
    const auto weight = rows_of(w, g, groups);
    const auto to = group_of(y, g, groups);
    const float* offset = bias ? bias + g * c.out : nullptr;
    if (!cuda::convolve(cuda, c, any(from.data), any(weight.data), to.data)) {
      conv_products<Cuda, float>(cuda, grid, from, weight, offset, to, add, f);
    } else if (offset || f != Activation::none) {
      cuda::finish(
          cuda, {.m = c.frames, .n = c.out, .c = to.data, .c_row = c.y_frame, .batch = c.batch, .c_batch = c.y_batch},
          offset, f);
    }
  }
}
void conv_transposed_products(const Cuda& cuda, const ConvGrid& grid, View<const float, 3> y, View<const float, 3> w,
                              View<float, 4> x) {
  const Convolution c = convolution_of(Convolution::Pass::data, grid, x, y, true);
  if (is_empty(c) || !by_cudnn(c.pass, grid, c.in)) return conv_transposed_products<Cuda, float>(cuda, grid, y, w, x);
  const long groups = x.shape[0];
  for (long g = 0; g < groups; ++g) {
    const auto from = group_of(y, g, groups);
    const auto weight = rows_of(w, g, groups);
    const auto to = group_of(x, g);
    if (!cuda::convolve(cuda, c, to.data, any(weight.data), any(from.data)))
      conv_transposed_products<Cuda, float>(cuda, grid, from, weight, to);
  }
}
void conv_weight_products(const Cuda& cuda, const ConvGrid& grid, View<const float, 4> x, View<const float, 3> y,
                          Sink<float, 3> dw) {
  const Convolution c = convolution_of(Convolution::Pass::filter, grid, x, y, dw.add);
  if (is_empty(c) || !by_cudnn(c.pass, grid, c.in)) return conv_weight_products<Cuda, float>(cuda, grid, x, y, dw);
  const long groups = x.shape[0];
  for (long g = 0; g < groups; ++g) {
    const auto from = group_of(x, g);
    const auto seen = group_of(y, g, groups);
    const Sink<float, 3> to(rows_of(View<float, 3>(dw), g, groups).data, {c.out, c.taps, c.in}, dw.add);
    if (!cuda::convolve(cuda, c, any(from.data), to.data, any(seen.data)))
      conv_weight_products<Cuda, float>(cuda, grid, from, seen, to);
  }
}

void conv_gather(const Cuda& cuda, View<const float, 3> x, const long* lengths, long before, View<float, 4> y) {
  const long batch = y.shape[1], frames = y.shape[2], width = y.shape[3];
  const cuda::Brought<long> brought(cuda, lengths, batch);
  const long* real = brought.data();
  cuda::for_each_at(cuda, "conv1d", y.shape[0] * batch * frames, width, [=] __device__(long row, long c) {
    const long g = row / frames / batch, n = row / frames % batch, at = row % frames, t = at - before;
    const bool there = t >= 0 && t < (real ? real[n] : x.shape[1]);
    y.data[g * y.stride[0] + n * y.stride[1] + at * width + c] = there ? x(n, t, g * width + c) : 0.f;
  });
}
void conv_scatter(const Cuda& cuda, View<const float, 4> x, const float* bias, const long* lengths, long before,
                  Sink<float, 3> y) {
  const long time = y.shape[1], channels = y.shape[2], width = x.shape[3];
  const cuda::Brought<long> brought(cuda, lengths, y.shape[0]);
  const long* real = brought.data();
  cuda::for_each_at(cuda, "conv1d", y.shape[0] * time, channels, [=] __device__(long row, long c) {
    const long n = row / time, t = row % time, g = c / width;
    const bool there = !real || t < real[n];
    const float value = there ? x(g, n, t + before, c - g * width) + (bias ? bias[c] : 0.f) : 0.f;
    cuda::put(y(n, t, c), value, y.add);
  });
}

void gather_patches(const Cuda& cuda, View<const float, 4> x, const PatchGeometry& geometry, long first, long times,
                    View<float, 2> patches) {
  const PatchGeometry g = geometry;
  const long channels = x.shape[3], run = g.kernel.frequency * channels, rows = x.shape[0] * times * g.frequencies;
  cuda::for_each_at(cuda, "conv2d", rows, g.kernel.time * run, [=] __device__(long row, long at) {
    const long frame = row / g.frequencies, f = row % g.frequencies, n = frame / times, t = frame % times;
    const long i = at / run, j = at % run / channels;
    const long from_t = (first + t) * g.stride.time + i * g.dilation - g.padding.time;
    const long from_f = f * g.stride.frequency + j - g.padding.frequency;
    const bool inside = from_t >= 0 && from_t < x.shape[1] && from_f >= 0 && from_f < x.shape[2];
    patches.row(row)[at] = inside ? x(n, from_t, from_f, at % channels) : 0.f;
  });
}
void scatter_patches(const Cuda& cuda, View<const float, 2> patches, const PatchGeometry& geometry, long first,
                     long times, View<float, 4> dx) {
  const PatchGeometry g = geometry;
  const long channels = dx.shape[3], bands = dx.shape[2], run = g.kernel.frequency * channels;
  const long begin = g.first_seen(first), seen = std::max(0L, g.end_seen(first + times - 1, dx.shape[1]) - begin);
  // Each element of the images adds up the places that saw it, in their order.
  cuda::for_each_at(cuda, "conv2d", dx.shape[0] * seen * bands, channels, [=] __device__(long row, long c) {
    const long frame = row / bands, to_f = row % bands, n = frame / seen, to_t = begin + frame % seen;
    float total = 0;
    for (long i = 0; i < g.kernel.time; ++i) {
      const long at_t = to_t + g.padding.time - i * g.dilation - first * g.stride.time;
      if (at_t < 0 || at_t % g.stride.time != 0 || at_t / g.stride.time >= times) continue;
      for (long j = 0; j < g.kernel.frequency; ++j) {
        const long at_f = to_f + g.padding.frequency - j;
        if (at_f < 0 || at_f % g.stride.frequency != 0 || at_f / g.stride.frequency >= g.frequencies) continue;
        const long place = (n * times + at_t / g.stride.time) * g.frequencies + at_f / g.stride.frequency;
        total += patches.row(place)[i * run + j * channels + c];
      }
    }
    dx(n, to_t, to_f, c) += total;
  });
}

}  // namespace phonaut::kernel
