#include "parallel.hpp"
#include "scratch.hpp"
#include "sliding_filter.hpp"

#ifdef PHONAUT_ISA
namespace phonaut::kernel::PHONAUT_ISA {

namespace {

constexpr long frames_per_block = 64;  // of one task, and of one sum of weight gradients; a multiple of all tiles

/// y[n, t, c] (+)= bias[c] + Σ_k w[c, k] x[n, t + k - before, c], with packed w.
PHONAUT_INLINE void filter_frames(const Cpu& cpu, View<const float, 3> x, const float* w, long taps, const float* bias,
                                  long before, float* y, long y_batch, long y_step, bool add) {
  const long time = x.shape[1], channels = x.shape[2], blocks = blocks_of(time, frames_per_block);
  const bool small = x.size() * taps < small_filter_work;
  const bool copies = pays_to_copy(x.stride[1], taps);
  parallel_for(small ? 1 : cpu.threads, x.shape[0] * blocks, [&](long task) {
    const long n = task / blocks, first = task % blocks * frames_per_block;
    const long last = first + frames_per_block < time ? first + frames_per_block : time;
    alignas(64) float room[(frames_per_block + most_copied_taps) * Vec::lanes];
    for (long c = 0; c < channels; c += Vec::lanes) {
      const long lanes = register_lanes(channels, c);
      Track from{x.data + n * x.stride[0] + c, x.stride[1], 0, time, lanes};
      long shift = before;  // frame t of y begins at frame t - shift of `from`
      if (copies) {
        from = copied(from, first - before, frames_per_block + taps - 1, room);
        shift = first;
      }
      const Vec start = bias ? load_some(bias + c, lanes) : Vec(0.0f);
      float* to = y + n * y_batch + c;
      for (long t = first; t < last; t += tile_frames) {
        Vec sums[tile_frames];
        for (Vec& sum : sums) sum = start;
        filter_tile(from, t - shift, w + c * taps, Vec::lanes, taps, sums);
        for (long r = 0; r < tile_frames && t + r < last; ++r) put_some(to + (t + r) * y_step, sums[r], add, lanes);
      }
    }
  });
}

}  // namespace

void depthwise_conv1d_forward(const Cpu& cpu, View<const float, 3> x, View<const float, 2> w, const float* bias,
                              long before, View<float, 3> y) {
  float* const packed = scratch(Scratch::kernel, packed_floats(w.shape[0], w.shape[1]));
  pack_filters(w, false, packed);
  filter_frames(cpu, x, packed, w.shape[1], bias, before, y.data, y.stride[0], y.stride[1], false);
}

// dx is the same convolution of dy, with the filters turned round. Weight gradients go down all frames on one thread
// for each register of channels; blocks of frames are added in order.
void depthwise_conv1d_backward(const Cpu& cpu, View<const float, 3> dy, View<const float, 3> x, View<const float, 2> w,
                               long before, Sink<float, 3> dx, Sink<float, 2> dw, Sink<float, 1> dbias) {
  const long time = x.shape[1], channels = x.shape[2], taps = w.shape[1];
  float* const packed = scratch(Scratch::kernel, packed_floats(channels, taps));
  if (dx) {
    pack_filters(w, true, packed);
    filter_frames(cpu, dy, packed, taps, nullptr, taps - 1 - before, dx.data, dx.stride[0], dx.stride[1], dx.add);
  }
  if (!dw && !dbias) return;
  const bool small = x.size() * taps < small_filter_work;
  const bool copies = pays_to_copy(x.stride[1], taps) || pays_to_copy(dy.stride[1], taps);
  parallel_for(small ? 1 : cpu.threads, blocks_of(channels, Vec::lanes), [&](long block) {
    alignas(64) float x_room[(frames_per_block + most_copied_taps) * Vec::lanes];
    alignas(64) float g_room[frames_per_block * Vec::lanes];
    const long c = block * Vec::lanes, lanes = register_lanes(channels, c);
    float* const total = packed + c * taps;
    Vec bias(0.0f);
    for (long k = 0; k < taps; ++k) Vec(0.0f).store(total + k * Vec::lanes);
    for (long n = 0; n < x.shape[0]; ++n) {
      const Track values{x.data + n * x.stride[0] + c, x.stride[1], 0, time, lanes};
      const Track grads{dy.data + n * dy.stride[0] + c, dy.stride[1], 0, time, lanes};
      for (long first = 0; first < time; first += frames_per_block) {
        const long last = first + frames_per_block < time ? first + frames_per_block : time;
        if (dw && copies)
          correlate_frames(copied(values, first - before, frames_per_block + taps - 1, x_room),
                           copied(grads, first, last - first, g_room), 0, last - first, 0, taps, total, Vec::lanes);
        else if (dw) correlate_frames(values, grads, first, last, before, taps, total, Vec::lanes);
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
#include "phonaut/ops/depthwise_conv1d.hpp"
#endif

PHONAUT_DISPATCH(depthwise_conv1d_forward,
                 (const Cpu& cpu, View<const float, 3> x, View<const float, 2> w, const float* bias, long before,
                  View<float, 3> y),
                 (cpu, x, w, bias, before, y))
PHONAUT_DISPATCH(depthwise_conv1d_backward,
                 (const Cpu& cpu, View<const float, 3> dy, View<const float, 3> x, View<const float, 2> w, long before,
                  Sink<float, 3> dx, Sink<float, 2> dw, Sink<float, 1> dbias),
                 (cpu, dy, x, w, before, dx, dw, dbias))
