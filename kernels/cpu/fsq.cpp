#include "phonaut/ops/formula/fsq.hpp"

#include <cstdint>

#include "parallel.hpp"
#include "simd_math.hpp"

// Frames in the lanes: a register for each channel, so that its constants are one number and codes add up in place.

#ifdef PHONAUT_ISA
#include "frame_lanes.hpp"

namespace phonaut::kernel::PHONAUT_ISA {

namespace {

/// Calls run(first, rows) for groups of up to `lanes` rows.
template <class Run>
PHONAUT_INLINE void each_group(const Cpu& cpu, long rows, long width, const Run& run) {
  parallel_rows(cpu.threads, rows, width, [&](long first, long last) {
    for (long r = first; r < last; r += Vec::lanes) run(r, last - r < Vec::lanes ? last - r : Vec::lanes);
  });
}

/// a + b in the lanes of m, a in the others.
PHONAUT_INLINE Ints plus_where(Mask m, Ints a, std::int32_t b) {
#if defined(__AVX512F__)
  return _mm512_mask_add_epi32(a.data, m.m.data, a.data, _mm512_set1_epi32(b));
#else
  return a + bits_of(select(m, float_of_bits(Ints(b)), Vec(0.0f)));
#endif
}

/// The level of z in channel c, as an integral float.
PHONAUT_INLINE Vec level_of(const FsqGrid& g, long c, const float* edge, Vec z) {
  if (g.has_edges) {
    Vec level(0.0f);
    for (long k = 0; k < g.count[c] - 1; ++k) level = select(Vec(edge[k]) < z, level + Vec(1.0f), level);
    return level;
  }
  const Vec bounded = tanh(z + Vec(g.shift[c])) * Vec(g.half[c]) - Vec(g.offset[c]);
  const Vec magic(12582912.0f);  // adding 1.5 * 2^23 rounds to an integer, half to even
  const Vec rounded = select(bounded == bounded, (bounded + magic) - magic, Vec(-16777216.0f));
  return min(max(rounded + Vec(g.width(c)), Vec(0.0f)), Vec(g.count[c] - 1));
}

}  // namespace

void fsq_bound_forward(const Cpu& cpu, const FsqGrid& g, View<const float, 2> z, View<float, 2> b) {
  each_group(cpu, z.shape[0], g.channels, [&](long r, long rows) {
    Vec v[FsqGrid::most_channels];
    FrameLanes::gather(z.row(r), z.stride[0], rows, g.channels, v);
    for (long c = 0; c < g.channels; ++c) v[c] = tanh(v[c] + Vec(g.shift[c])) * Vec(g.half[c]) - Vec(g.offset[c]);
    FrameLanes::scatter(v, rows, g.channels, b.row(r), b.stride[0], false);
  });
}

void fsq_bound_backward(const Cpu& cpu, const FsqGrid& g, bool of_codes, View<const float, 2> db,
                        View<const float, 2> z, Sink<float, 2> dz) {
  each_group(cpu, z.shape[0], g.channels, [&](long r, long rows) {
    Vec v[FsqGrid::most_channels], d[FsqGrid::most_channels];
    FrameLanes::gather(z.row(r), z.stride[0], rows, g.channels, v);
    FrameLanes::gather(db.row(r), db.stride[0], rows, g.channels, d);
    for (long c = 0; c < g.channels; ++c) {
      const Vec t = tanh(v[c] + Vec(g.shift[c]));
      const Vec scale(g.half[c] / (of_codes ? static_cast<double>(g.width(c)) : 1.0));
      d[c] = d[c] * scale * (Vec(1.0f) - t * t);
    }
    FrameLanes::scatter(d, rows, g.channels, dz.row(r), dz.stride[0], dz.add);
  });
}

void fsq_codes(const Cpu& cpu, const FsqGrid& g, View<const float, 2> z, View<float, 2> value, std::int32_t* index) {
  const auto store_codes = [&](Ints code, long r, long rows) PHONAUT_FORCE_INLINE {
    const Vec codes = float_of_bits(code);  // moved as they are
    if (rows == Vec::lanes) codes.store(reinterpret_cast<float*>(index + r));
    else codes.store(reinterpret_cast<float*>(index + r), rows);
  };
  if (!value && g.has_edges) {  // an edge that z is beyond counts as much as its channel
    each_group(cpu, z.shape[0], g.channels, [&](long r, long rows) PHONAUT_FORCE_INLINE {
      Vec v[FsqGrid::most_channels];
      FrameLanes::gather(z.row(r), z.stride[0], rows, g.channels, v);
      Ints code(0);
      std::int32_t base = 1;
      const float* edge = g.edge;
      for (long c = 0; c < g.channels; ++c) {
        const float* const last = edge + g.count[c] - 1;
        for (; edge < last; ++edge) code = plus_where(Vec(*edge) < v[c], code, base);
        base *= static_cast<std::int32_t>(g.count[c]);
      }
      store_codes(code, r, rows);
    });
    return;
  }
  each_group(cpu, z.shape[0], g.channels, [&](long r, long rows) PHONAUT_FORCE_INLINE {
    Vec v[FsqGrid::most_channels];
    FrameLanes::gather(z.row(r), z.stride[0], rows, g.channels, v);
    Ints code(0);
    std::int32_t base = 1;
    const float* edge = g.edge;
    for (long c = 0; c < g.channels; ++c) {
      const Vec level = level_of(g, c, edge, v[c]);
      code += xsimd::to_int(level.v) * Ints(base);
      v[c] = (level - Vec(g.width(c))) / Vec(g.width(c));
      edge += g.count[c] - 1;
      base *= static_cast<std::int32_t>(g.count[c]);
    }
    if (value) FrameLanes::scatter(v, rows, g.channels, value.row(r), value.stride[0], false);
    store_codes(code, r, rows);
  });
}

}  // namespace phonaut::kernel::PHONAUT_ISA
#else
#include "phonaut/quantizers/fsq.hpp"
#endif

PHONAUT_DISPATCH(fsq_bound_forward, (const Cpu& cpu, const FsqGrid& levels, View<const float, 2> z, View<float, 2> b),
                 (cpu, levels, z, b))
PHONAUT_DISPATCH(fsq_bound_backward,
                 (const Cpu& cpu, const FsqGrid& levels, bool of_codes, View<const float, 2> db, View<const float, 2> z,
                  Sink<float, 2> dz),
                 (cpu, levels, of_codes, db, z, dz))
PHONAUT_DISPATCH(fsq_codes,
                 (const Cpu& cpu, const FsqGrid& levels, View<const float, 2> z, View<float, 2> value,
                  std::int32_t* index),
                 (cpu, levels, z, value, index))
