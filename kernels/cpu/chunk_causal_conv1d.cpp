#include "phonaut/ops/chunk_causal_filters.hpp"

#include "parallel.hpp"
#include "scratch.hpp"
#include "sliding_filter.hpp"

#ifdef PHONAUT_ISA
namespace phonaut::kernel::PHONAUT_ISA {

namespace {

constexpr long frames_per_block = 64;  // of one task, and of one sum of weight gradients; a multiple of all tiles

PHONAUT_INLINE long smaller(long a, long b) { return b < a ? b : a; }
/// Hands out one piece of the scratch memory after the other.
PHONAUT_INLINE float* take(float*& memory, long floats) {
  float* const piece = memory;
  memory += floats;
  return piece;
}
/// The two halves of the packed edge scale, for the start of a chunk and for its end.
struct Edge {
  const float *start, *end;
  long taps;

  /// scale[i] in a chunk of `size` frames, for the channels from c on.
  PHONAUT_INLINE Vec at(long c, long i, long size) const {
    Vec scale(1.0f);
    const long right = taps - size + i;
    if (i < taps) scale += Vec::load(start + c * taps + i * Vec::lanes);
    if (right >= 0) scale += Vec::load(end + c * taps + right * Vec::lanes);
    return scale;
  }
};
PHONAUT_INLINE View<const float, 2> side(const View<const float, 3>& edge, long i) {
  return View<const float, 2>(edge.data + i * edge.stride[0], Shape<2>{edge.shape[1], edge.shape[2]},
                              Shape<2>{edge.stride[1], 1});
}

/// Calls run(t, stop, begin, end) for the tiles t … stop of frames first … last, none of which crosses the border of
/// its chunk begin … end.
template <class Run>
PHONAUT_INLINE void each_tile(long first, long last, long time, long size, const Run& run) {
  for (long t = first; t < last;) {
    const long begin = t / size * size, end = smaller(time, begin + size);
    const long stop = smaller(smaller(end, last), t + tile_frames);
    run(t, stop, begin, end);
    t = stop;
  }
}

}  // namespace

void chunk_causal_conv1d_forward(const Cpu& cpu, const ChunkCausalFilters<float>& f, View<const float, 3> x,
                                 View<float, 3> y) {
  const long time = x.shape[1], channels = x.shape[2], taps = f.taps(), half = taps / 2;
  const long whole = packed_floats(channels, taps), part = packed_floats(channels, half + 1);
  float* memory = scratch(Scratch::kernel, part + 3 * whole);
  float *const causal = take(memory, part), *const chunkwise = take(memory, whole);
  float *const start = take(memory, whole), *const end = take(memory, whole);
  pack_filters(f.causal_weight, false, causal);
  pack_filters(f.chunk_weight, false, chunkwise);
  pack_filters(side(f.edge, 0), false, start);
  pack_filters(side(f.edge, 1), false, end);
  const Edge edge{start, end, taps};
  const long blocks = blocks_of(time, frames_per_block);
  const bool small = x.size() * taps < small_filter_work;
  parallel_for(small ? 1 : cpu.threads, x.shape[0] * blocks, [&](long task) {
    const long n = task / blocks, first = task % blocks * frames_per_block;
    const long size = f.chunk_of(n, time);
    for (long c = 0; c < channels; c += Vec::lanes) {
      const long lanes = register_lanes(channels, c);
      const Vec causal_bias = load_some(f.causal_bias + c, lanes), chunk_bias = load_some(f.chunk_bias + c, lanes);
      const Track all{x.data + n * x.stride[0] + c, x.stride[1], 0, time, lanes};
      float* const to = y.data + n * y.stride[0] + c;
      each_tile(first, smaller(time, first + frames_per_block), time, size,
                [&](long t, long stop, long begin, long last) PHONAUT_FORCE_INLINE {
                  Vec past[tile_frames], own[tile_frames];
                  for (int r = 0; r < tile_frames; ++r) past[r] = causal_bias, own[r] = chunk_bias;
                  filter_tile(all, t - half, causal + c * (half + 1), Vec::lanes, half + 1, past);
                  const Track inside{all.first, all.step, begin, last, lanes};
                  filter_tile(inside, t - half, chunkwise + c * taps, Vec::lanes, taps, own);
                  for (long r = 0; t + r < stop; ++r)
                    store_some(fma(own[r], edge.at(c, t + r - begin, size), past[r]), to + (t + r) * y.stride[1],
                               lanes);
                });
    }
  });
}

// One thread goes down all frames of a register of channels, so that every sum has one order. An utterance takes two
// passes: the first makes g = dy · scale, sums of biases and of the edge, and those of the filters; the second makes
// dx, both filters turned round.
void chunk_causal_conv1d_backward(const Cpu& cpu, const ChunkCausalFilters<float>& f, View<const float, 3> dy,
                                  View<const float, 3> x, Sink<float, 3> dx, const ChunkCausalSinks<float>& d) {
  const long time = x.shape[1], channels = x.shape[2], taps = f.taps(), half = taps / 2;
  const long whole = packed_floats(channels, taps), part = packed_floats(channels, half + 1);
  float* memory = scratch(Scratch::kernel, 2 * part + 7 * whole + packed_floats(channels, time));
  float *const causal_flipped = take(memory, part), *const dcausal = take(memory, part);
  float *const chunkwise = take(memory, whole), *const chunk_flipped = take(memory, whole);
  float *const start = take(memory, whole), *const end = take(memory, whole);
  float *const dchunk = take(memory, whole), *const dstart = take(memory, whole), *const dend = take(memory, whole);
  float* const scaled = memory;
  pack_filters(f.causal_weight, true, causal_flipped);
  pack_filters(f.chunk_weight, true, chunk_flipped);
  pack_filters(f.chunk_weight, false, chunkwise);
  pack_filters(side(f.edge, 0), false, start);
  pack_filters(side(f.edge, 1), false, end);
  const Edge edge{start, end, taps};
  const bool small = x.size() * taps < small_filter_work;
  parallel_for(small ? 1 : cpu.threads, blocks_of(channels, Vec::lanes), [&](long strip) {
    const long c = strip * Vec::lanes, lanes = register_lanes(channels, c);
    float *const own_causal = dcausal + c * (half + 1), *const own_chunk = dchunk + c * taps;
    float *const own_start = dstart + c * taps, *const own_end = dend + c * taps;
    float* const g = scaled + c * time;
    for (long k = 0; k <= half; ++k) Vec(0.0f).store(own_causal + k * Vec::lanes);
    for (long k = 0; k < taps * Vec::lanes; k += Vec::lanes) {
      Vec(0.0f).store(own_chunk + k);
      Vec(0.0f).store(own_start + k);
      Vec(0.0f).store(own_end + k);
    }
    Vec causal_bias(0.0f), chunk_bias(0.0f);
    const Vec bias = load_some(f.chunk_bias + c, lanes);
    for (long n = 0; n < x.shape[0]; ++n) {
      const long size = f.chunk_of(n, time);
      const Track values{x.data + n * x.stride[0] + c, x.stride[1], 0, time, lanes};
      const Track grads{dy.data + n * dy.stride[0] + c, dy.stride[1], 0, time, lanes};
      const auto within = [](const Track& all, long begin, long stop) PHONAUT_FORCE_INLINE {
        return Track{all.first, all.step, begin, stop, all.lanes};
      };
      const Track scaled_grads{g, Vec::lanes, 0, time, Vec::lanes};
      for (long first = 0; first < time; first += frames_per_block) {
        Vec causal_part(0.0f), chunk_part(0.0f);
        each_tile(first, smaller(time, first + frames_per_block), time, size,
                  [&](long t, long stop, long begin, long last) PHONAUT_FORCE_INLINE {
                    Vec filtered[tile_frames];
                    for (Vec& v : filtered) v = bias;
                    if (d.edge)
                      filter_tile(within(values, begin, last), t - half, chunkwise + c * taps, Vec::lanes, taps,
                                  filtered);
                    for (long r = 0; t + r < stop; ++r) {
                      const long i = t + r - begin, right = taps - size + i;
                      const Vec grad = load_some(grads.first + (t + r) * grads.step, lanes);
                      const Vec own = grad * edge.at(c, i, size);
                      own.store(g + (t + r) * Vec::lanes);
                      causal_part += grad;
                      chunk_part += own;
                      if (i < taps) put(own_start + i * Vec::lanes, grad * filtered[r], true);
                      if (right >= 0) put(own_end + right * Vec::lanes, grad * filtered[r], true);
                    }
                  });
        causal_bias += causal_part;
        chunk_bias += chunk_part;
      }
      for (long first = 0; d.causal_weight && first < time; first += frames_per_block)
        correlate_frames(values, grads, first, smaller(time, first + frames_per_block), half, half + 1, own_causal,
                         Vec::lanes);
      for (long begin = 0; d.chunk_weight && begin < time; begin += size) {
        const long last = smaller(time, begin + size);
        const Track inside = within(values, begin, last), own = within(scaled_grads, begin, last);
        for (long first = begin; first < last; first += frames_per_block)
          correlate_frames(inside, own, first, smaller(last, first + frames_per_block), half, taps, own_chunk,
                           Vec::lanes);
      }
      if (!dx) continue;
      float* const to = dx.data + n * dx.stride[0] + c;
      each_tile(0, time, time, size, [&](long t, long stop, long begin, long last) PHONAUT_FORCE_INLINE {
        Vec sums[tile_frames];
        for (Vec& sum : sums) sum = Vec(0.0f);
        filter_tile(grads, t, causal_flipped + c * (half + 1), Vec::lanes, half + 1, sums);
        filter_tile(within(scaled_grads, begin, last), t - half, chunk_flipped + c * taps, Vec::lanes, taps, sums);
        for (long r = 0; t + r < stop; ++r) put_some(to + (t + r) * dx.stride[1], sums[r], dx.add, lanes);
      });
    }
    if (d.causal_weight) unpack_filters(own_causal, d.causal_weight, c);
    if (d.chunk_weight) unpack_filters(own_chunk, d.chunk_weight, c);
    if (d.causal_bias) put_some(d.causal_bias.data + c, causal_bias, d.causal_bias.add, lanes);
    if (d.chunk_bias) put_some(d.chunk_bias.data + c, chunk_bias, d.chunk_bias.add, lanes);
    if (d.edge) {
      const Shape<2> half_shape{channels, taps};
      unpack_filters(own_start, Sink<float, 2>(d.edge.data, half_shape, d.edge.add), c);
      unpack_filters(own_end, Sink<float, 2>(d.edge.data + channels * taps, half_shape, d.edge.add), c);
    }
  });
}

}  // namespace phonaut::kernel::PHONAUT_ISA
#else
#include "phonaut/ops/chunk_causal_conv1d.hpp"
#endif

PHONAUT_DISPATCH(chunk_causal_conv1d_forward,
                 (const Cpu& cpu, const ChunkCausalFilters<float>& f, View<const float, 3> x, View<float, 3> y),
                 (cpu, f, x, y))
PHONAUT_DISPATCH(chunk_causal_conv1d_backward,
                 (const Cpu& cpu, const ChunkCausalFilters<float>& f, View<const float, 3> dy, View<const float, 3> x,
                  Sink<float, 3> dx, const ChunkCausalSinks<float>& d),
                 (cpu, f, dy, x, dx, d))
