#pragma once
// Filters that slide over frames, one register of channels after the other: what the depthwise convolutions share.
//
// A tile holds the sums of several frames and the weights of several taps in registers. An input frame is then loaded
// once for all pairs of them that meet in it: 15 + 8 loads for 64 products (a tile of 8 x 8), where one frame or one
// tap at a time would load something for each product.
#include "partial.hpp"

#ifdef PHONAUT_ISA
namespace phonaut::kernel::PHONAUT_ISA {

// Taps x frames of a tile: accumulators, the smaller of weights and gradients, and one frame fit into the registers.
// Correlations keep eight sums going whatever the instruction set, which hides the latency of a multiply-add.
#if defined(__AVX512F__)
constexpr int tile_taps = 8, tile_frames = 8, correlation_frames = 8;
#else
constexpr int tile_taps = 4, tile_frames = 8, correlation_frames = 4;
#endif
constexpr int correlation_taps = 8;

/// Products below which waking a thread costs more than it saves.
constexpr long small_filter_work = 1 << 18;

/// The frames of `lanes` channels: frame t at first + t * step, and zeros outside of begin … end.
struct Track {
  const float* first;
  long step, begin, end, lanes;
};

/// `count` frames of a track from frame `from` on, in place if they are all there, else copied to `room`.
struct Stretch {
  const float* at;
  long step;
  PHONAUT_INLINE Stretch(const Track& x, long from, long count, float* room)
      : at(x.first + from * x.step), step(x.step) {
    if (x.lanes == Vec::lanes && from >= x.begin && from + count <= x.end) return;
    for (long i = 0; i < count; ++i) {
      const bool there = from + i >= x.begin && from + i < x.end;
      (there ? load_some(x.first + (from + i) * x.step, x.lanes) : Vec(0.0f)).store(room + i * Vec::lanes);
    }
    at = room;
    step = Vec::lanes;
  }
};

constexpr long most_copied_taps = 64;
/// Whether to copy the frames of a register of channels side by side: where they are so far apart (every kilobyte) that
/// few sets of the nearest cache would have to hold a block of them, and where so many taps look at each that the copy
/// is paid for.
PHONAUT_INLINE bool pays_to_copy(long step, long taps) {
  return step % 256 == 0 && taps >= 8 && taps <= most_copied_taps;
}

/// `count` frames of a track from frame `from` on as a track of their own, in `room`: frame 0 is `from`, and lanes that
/// the track has not are zero.
PHONAUT_INLINE Track copied(const Track& x, long from, long count, float* room) {
  const long begin = x.begin > from ? x.begin - from : 0, end = x.end - from < count ? x.end - from : count;
  for (long i = begin; i < end; ++i) load_some(x.first + (from + i) * x.step, x.lanes).store(room + i * Vec::lanes);
  return {room, Vec::lanes, begin, end, Vec::lanes};
}

/// sums[r] += Σ_k w[k] x[r + k].
template <int taps, int frames>
PHONAUT_INLINE void slide(const Stretch& x, const float* w, long w_step, Vec (&sums)[frames]) {
  Vec weight[taps];
#pragma GCC unroll 8
  for (int k = 0; k < taps; ++k) weight[k] = Vec::load(w + k * w_step);
#pragma GCC unroll 16
  for (int s = 0; s < frames + taps - 1; ++s) {
    const Vec v = Vec::load(x.at + s * x.step);
#pragma GCC unroll 8
    for (int r = 0; r < frames; ++r)
      if (s - r >= 0 && s - r < taps) sums[r] = fma(v, weight[s - r], sums[r]);
  }
}
/// sums[k] += Σ_r g[r] x[r + k].
template <int taps, int frames>
PHONAUT_INLINE void correlate(const Stretch& x, const Stretch& g, Vec (&sums)[correlation_taps]) {
  Vec grad[frames];
#pragma GCC unroll 8
  for (int r = 0; r < frames; ++r) grad[r] = Vec::load(g.at + r * g.step);
#pragma GCC unroll 16
  for (int s = 0; s < frames + taps - 1; ++s) {
    const Vec v = Vec::load(x.at + s * x.step);
#pragma GCC unroll 8
    for (int k = 0; k < taps; ++k)
      if (s - k >= 0 && s - k < frames) sums[k] = fma(v, grad[s - k], sums[k]);
  }
}

namespace {

/// sums[r] += Σ_k w[k] x[from + r + k] for the `tile_frames` frames of a tile; w has a register of weights per tap,
/// `w_step` floats apart.
[[gnu::noinline]] inline void filter_tile(const Track& x, long from, const float* w, long w_step, long taps,
                                          Vec (&sums)[tile_frames]) {
  alignas(64) float room[(tile_frames + tile_taps - 1) * Vec::lanes];
  Vec own[tile_frames];
#pragma GCC unroll 8
  for (int r = 0; r < tile_frames; ++r) own[r] = sums[r];
  for (long k = 0; k < taps; k += tile_taps) {
    const auto some = [&](auto count) PHONAUT_FORCE_INLINE {
      constexpr int seen = tile_frames + count - 1;
      if (from + k + seen <= x.begin || from + k >= x.end) return;
      slide<count>(Stretch(x, from + k, seen, room), w + k * w_step, w_step, own);
    };
    if (taps - k >= tile_taps) some(std::integral_constant<int, tile_taps>{});
    else with_constant<tile_taps - 1>(taps - k, some);
  }
#pragma GCC unroll 8
  for (int r = 0; r < tile_frames; ++r) sums[r] = own[r];
}

/// total[k] += Σ_t g[t] x[t + k - before] over the frames first … last of g; total has a register per tap,
/// `total_step` floats apart. `last` is the end of g, or first plus a multiple of correlation_frames.
[[gnu::noinline]] inline void correlate_frames(const Track& x, const Track& g, long first, long last, long before,
                                               long taps, float* total, long total_step) {
  alignas(64) float x_room[(correlation_frames + correlation_taps - 1) * Vec::lanes];
  alignas(64) float g_room[correlation_frames * Vec::lanes];
  for (long k = 0; k < taps; k += correlation_taps) {
    const auto some = [&](auto count) PHONAUT_FORCE_INLINE {
      constexpr int own = count, seen = correlation_frames + own - 1;
      Vec sums[correlation_taps];
#pragma GCC unroll 8
      for (int i = 0; i < own; ++i) sums[i] = Vec(0.0f);
      for (long t = first; t < last; t += correlation_frames) {
        const long from = t + k - before;
        if (from + seen <= x.begin || from >= x.end) continue;
        correlate<own, correlation_frames>(Stretch(x, from, seen, x_room), Stretch(g, t, correlation_frames, g_room),
                                           sums);
      }
#pragma GCC unroll 8
      for (int i = 0; i < own; ++i) put(total + (k + i) * total_step, sums[i], true);
    };
    if (taps - k >= correlation_taps) some(std::integral_constant<int, correlation_taps>{});
    else with_constant<correlation_taps - 1>(taps - k, some);
  }
}

/// Filters (C, K) as one block of K registers for each register of channels, zeros in the lanes behind the last
/// channel; backwards in time if `flip`. `to` has packed_floats(C, K) floats.
[[gnu::noinline]] inline void pack_filters(View<const float, 2> w, bool flip, float* to) {
  const long channels = w.shape[0], taps = w.shape[1];
  for (long c = 0; c < channels; c += Vec::lanes, to += taps * Vec::lanes)
    for (long k = 0; k < taps; k += Vec::lanes) {
      const long n = taps - k < Vec::lanes ? taps - k : Vec::lanes;
      Vec tile[Vec::lanes];
      for (long i = 0; i < Vec::lanes; ++i) tile[i] = c + i < channels ? load_some(w.row(c + i) + k, n) : Vec(0.0f);
      transpose(tile);
      for (long i = 0; i < n; ++i) tile[i].store(to + (flip ? taps - 1 - k - i : k + i) * Vec::lanes);
    }
}
/// The way back, for one register of channels: rows c … c + lanes of w receive a block of K registers.
[[gnu::noinline]] inline void unpack_filters(const float* from, Sink<float, 2> w, long c) {
  const long channels = w.shape[0] - c < Vec::lanes ? w.shape[0] - c : Vec::lanes, taps = w.shape[1];
  for (long k = 0; k < taps; k += Vec::lanes) {
    const long n = taps - k < Vec::lanes ? taps - k : Vec::lanes;
    Vec tile[Vec::lanes];
    for (long i = 0; i < Vec::lanes; ++i) tile[i] = i < n ? Vec::load(from + (k + i) * Vec::lanes) : Vec(0.0f);
    transpose(tile);
    for (long i = 0; i < channels; ++i) put_some(w.row(c + i) + k, tile[i], w.add, n);
  }
}

}  // namespace

PHONAUT_INLINE long packed_floats(long channels, long taps) {
  return (channels + Vec::lanes - 1) / Vec::lanes * Vec::lanes * taps;
}
PHONAUT_INLINE long register_lanes(long channels, long c) {
  return channels - c < Vec::lanes ? channels - c : Vec::lanes;
}

}  // namespace phonaut::kernel::PHONAUT_ISA
#endif
