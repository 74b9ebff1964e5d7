#include "phonaut/ops/depthwise_image.hpp"

#include "parallel.hpp"
#include "scratch.hpp"
#include "sliding_filter.hpp"

#ifdef PHONAUT_ISA
namespace phonaut::kernel::PHONAUT_ISA {

namespace {

constexpr long frames_per_block = 64;  // of one sum of weight gradients; a multiple of correlation_frames

PHONAUT_INLINE long smaller(long a, long b) { return b < a ? b : a; }

/// The frames below `end` of band f, for the channels from c on.
PHONAUT_INLINE Track band(const View<const float, 4>& x, long n, long f, long c, long end) {
  return {x.data + n * x.stride[0] + f * x.stride[2] + c, x.stride[1], 0, end, register_lanes(x.shape[3], c)};
}
/// Calls run(j) for the taps in frequency that find a band f + j - half.
template <class Run>
PHONAUT_INLINE void each_band_tap(const DepthwiseImage& g, long f, long bands, const Run& run) {
  const long half = g.kernel_frequency / 2, first = half - f > 0 ? half - f : 0;
  for (long j = first; j < g.kernel_frequency && f + j - half < bands; ++j) run(j);
}

/// y = bias + what the packed filters make of x, frame by frame below `y_end(n)`; behind it zeros. The filters slide in
/// time, one of their columns after the other: there are many frames, and few bands of which many lie at an edge.
template <class XEnd, class YEnd>
PHONAUT_INLINE void filter_image(const Cpu& cpu, const DepthwiseImage& g, View<const float, 4> x, const float* w,
                                 const float* bias, long before, const View<float, 4>& y, bool add, const XEnd& x_end,
                                 const YEnd& y_end) {
  const long times = y.shape[1], bands = y.shape[2], channels = y.shape[3], half = g.kernel_frequency / 2;
  const long taps = g.kernel_time * g.kernel_frequency, blocks = blocks_of(times, tile_frames);
  const bool small = y.size() * taps < small_filter_work;
  parallel_for(small ? 1 : cpu.threads, y.shape[0] * blocks, [&](long task) {
    const long n = task / blocks, t = task % blocks * tile_frames, stop = smaller(times, t + tile_frames);
    for (long c = 0; c < channels; c += Vec::lanes) {
      const long lanes = register_lanes(channels, c);
      const Vec start = bias ? load_some(bias + c, lanes) : Vec(0.0f);
      for (long f = 0; f < bands; ++f) {
        Vec sums[tile_frames];
        for (Vec& sum : sums) sum = start;
        each_band_tap(g, f, bands, [&](long j) {
          filter_tile(band(x, n, f + j - half, c, x_end(n)), t - before, w + c * taps + j * Vec::lanes,
                      g.kernel_frequency * Vec::lanes, g.kernel_time, sums);
        });
        float* const to = y.data + n * y.stride[0] + f * y.stride[2] + c;
        for (long r = 0; t + r < stop; ++r)
          put_some(to + (t + r) * y.stride[1], t + r < y_end(n) ? sums[r] : Vec(0.0f), add, lanes);
      }
    }
  });
}

}  // namespace

void depthwise_conv2d_forward(const Cpu& cpu, const DepthwiseImage& g, View<const float, 4> x, View<const float, 2> w,
                              const float* bias, View<float, 4> y) {
  float* const packed = scratch(Scratch::kernel, packed_floats(w.shape[0], w.shape[1]));
  pack_filters(w, false, packed);
  filter_image(
      cpu, g, x, packed, bias, g.before, y, false, [&](long n) { return g.frames(n, x.shape[1]); },
      [&](long) { return y.shape[1]; });
}

// As in one dimension: dx is the convolution of dy with the filters turned round in both directions, and weight
// gradients go down all places on one thread for each register of channels.
void depthwise_conv2d_backward(const Cpu& cpu, const DepthwiseImage& g, View<const float, 4> dy, View<const float, 4> x,
                               View<const float, 2> w, Sink<float, 4> dx, Sink<float, 2> dw, Sink<float, 1> dbias) {
  const long times = dy.shape[1], bands = x.shape[2], channels = x.shape[3], half = g.kernel_frequency / 2;
  const long taps = g.kernel_time * g.kernel_frequency;
  float* const packed = scratch(Scratch::kernel, packed_floats(channels, taps));
  const auto frames = [&](long n) { return g.frames(n, x.shape[1]); };
  if (dx) {
    pack_filters(w, true, packed);
    filter_image(
        cpu, g, dy, packed, nullptr, g.kernel_time - 1 - g.before, dx, dx.add, [&](long) { return times; }, frames);
  }
  if (!dw && !dbias) return;
  const bool small = x.size() * taps < small_filter_work;
  parallel_for(small ? 1 : cpu.threads, blocks_of(channels, Vec::lanes), [&](long strip) {
    const long c = strip * Vec::lanes, lanes = register_lanes(channels, c);
    float* const total = packed + c * taps;
    Vec bias(0.0f);
    for (long k = 0; k < taps; ++k) Vec(0.0f).store(total + k * Vec::lanes);
    for (long n = 0; n < dy.shape[0]; ++n)
      for (long first = 0; first < times; first += frames_per_block) {
        const long last = smaller(times, first + frames_per_block);
        for (long f = 0; f < bands; ++f) {
          const Track grads = band(dy, n, f, c, times);
          if (dw)
            each_band_tap(g, f, bands, [&](long j) {
              correlate_frames(band(x, n, f + j - half, c, frames(n)), grads, first, last, g.before, g.kernel_time,
                               total + j * Vec::lanes, g.kernel_frequency * Vec::lanes);
            });
          Vec part(0.0f);
          for (long t = first; dbias && t < last; ++t) part += load_some(grads.first + t * grads.step, lanes);
          bias += part;
        }
      }
    if (dw) unpack_filters(total, dw, c);
    if (dbias) put_some(dbias.data + c, bias, dbias.add, lanes);
  });
}

}  // namespace phonaut::kernel::PHONAUT_ISA
#else
#include "phonaut/ops/depthwise_conv2d.hpp"
#endif

PHONAUT_DISPATCH(depthwise_conv2d_forward,
                 (const Cpu& cpu, const DepthwiseImage& g, View<const float, 4> x, View<const float, 2> w,
                  const float* bias, View<float, 4> y),
                 (cpu, g, x, w, bias, y))
PHONAUT_DISPATCH(depthwise_conv2d_backward,
                 (const Cpu& cpu, const DepthwiseImage& g, View<const float, 4> dy, View<const float, 4> x,
                  View<const float, 2> w, Sink<float, 4> dx, Sink<float, 2> dw, Sink<float, 1> dbias),
                 (cpu, g, dy, x, w, dx, dw, dbias))
