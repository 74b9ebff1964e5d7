#pragma once
// The pieces of Zipformer's attention weights: how scratch memory is laid out, tiles of scores, and what walks along
// the diagonals t + j = const of a block of score gradients.
#include "gemm_dot.hpp"
#include "gemm_pack.hpp"
#include "parallel.hpp"
#include "phonaut/ops/relative_scores.hpp"
#include "rows.hpp"

#ifdef PHONAUT_ISA
namespace phonaut::kernel::PHONAUT_ISA {

PHONAUT_INLINE constexpr long min(long a, long b) { return a < b ? a : b; }
PHONAUT_INLINE constexpr long max(long a, long b) { return a < b ? b : a; }
PHONAUT_INLINE constexpr long round_up(long n, long unit) { return blocks_of(n, unit) * unit; }
/// At least n, whole registers, and such that rows one below the other fall into different sets of the cache.
PHONAUT_INLINE constexpr long spread_row(long n) {
  constexpr long line = 16;  // floats of a cache line
  return (blocks_of(n, line) | 1) * line;
}

/// Channels of a position that are computed together; scratch memory holds whole groups, with zeros behind the last.
constexpr long position_group = 4;
/// Registers that diagonals take at a time.
constexpr long diagonal_step = 2 * Vec::lanes;

struct AttentionSizes {
  long batch, heads, queries, keys, width, place;
  long distances;     ///< rows of r
  long places;        ///< position channels of a head, in whole groups
  long padded_width;  ///< query channels of a head, in whole registers
  long column_row;    ///< row of the columns of r, with zeros behind the last distance for whole tiles

  explicit AttentionSizes(const RelativeAttention<float>& a)
      : batch(a.batch()),
        heads(a.heads),
        queries(a.queries()),
        keys(a.keys()),
        width(a.query_width()),
        place(a.position_width()),
        distances(queries + keys - 1),
        places(round_up(place, position_group)),
        padded_width(round_up(width, Vec::lanes)),
        column_row(round_up(distances, Vec::lanes) + diagonal_step) {
    static_assert(diagonal_step >= tile_columns);
  }
  long column_floats() const { return spread_row(heads * places * column_row); }

  /// A second thread costs a few microseconds; it should bring so much work with it.
  long threads(const Cpu& cpu) const {
    constexpr double flops_per_thread = 1.5e6, softmax = 20;
    const double work = static_cast<double>(batch * heads * queries) * static_cast<double>(keys) *
                        (2 * static_cast<double>(width + place) + softmax) / flops_per_thread;
    const long worth = work < static_cast<double>(cpu.threads) ? static_cast<long>(work) : cpu.threads;
    return max(1, worth);
  }
};

/// to[h * places + c][j] = r[j][h * place + c]; zeros behind the last distance and the last channel.
PHONAUT_INLINE void distances_as_columns(long threads, const AttentionSizes& z, View<const float, 2> r, float* to) {
  parallel_for(threads, z.column_row / Vec::lanes, [&](long block) {
    const long j = block * Vec::lanes, rows = min(Vec::lanes, z.distances - j);
    for (long c = 0; c < r.shape[1]; c += Vec::lanes) {
      const long n = min(Vec::lanes, r.shape[1] - c);
      Vec x[Vec::lanes];
      for (long l = 0; l < Vec::lanes; ++l) {
        const float* from = r.data + (j + l) * r.stride[0] + c;
        x[l] = l >= rows ? Vec(0.0f) : n == Vec::lanes ? Vec::load(from) : Vec::load(from, n);
      }
      transpose(x);
      for (long l = 0; l < n; ++l)
        x[l].store(to + ((c + l) / z.place * z.places + (c + l) % z.place) * z.column_row + j);
    }
    for (long h = 0; h < z.heads; ++h)
      for (long c = z.place; c < z.places; ++c) Vec(0.0f).store(to + (h * z.places + c) * z.column_row + j);
  });
}

/// The keys that any of some queries may see.
PHONAUT_INLINE AttentionSpan::Range keys_of_any(const RelativeAttention<float>& a, long n, long first, long last) {
  AttentionSpan::Range all{0, 0};
  for (long t = first; t < last; ++t) {
    const auto range = a.span.keys_of(n, t, a.queries(), a.keys());
    if (range.empty()) continue;
    if (all.empty()) all = range;
    all = {min(all.begin, range.begin), max(all.end, range.end)};
  }
  return all;
}

/// n rows of `width` numbers, in rows of whole registers with zeros behind them.
PHONAUT_INLINE void pad_rows(long n, long width, const float* from, long from_row, float* to, long to_row) {
  for (long i = 0; i < n; ++i)
    for (long c = 0; c < to_row; c += Vec::lanes) {
      const long left = width - c;
      (left >= Vec::lanes ? Vec::load(from + i * from_row + c) : Vec::load(from + i * from_row + c, left))
          .store(to + i * to_row + c);
    }
}
/// to[c][i] = p[i][c], zeros behind the last channel.
PHONAUT_INLINE void positions_as_columns(long n, const AttentionSizes& z, const float* p, long p_row, float* to,
                                         long to_row) {
  for (long c = 0; c < z.places; ++c)
    for (long i = 0; i < n; ++i) to[c * to_row + i] = c < z.place ? p[i * p_row + c] : 0.0f;
}

/// Some queries against a sliver of keys.
struct ScoreTile {
  long width, place;
  const float* q;  ///< [row][channel]
  long q_row;
  const float* keys;  ///< [channel][key], as pack_sliver leaves them
  const float* p;     ///< [channel][row]
  long p_row;
  const float* r;  ///< [channel][distance], at the distance of the first query and the first key
  long r_row;
  float* scores;
  long scores_row;
};

/// The next query is one frame further away from the same key, so its row of r begins one number earlier.
template <int rows, int registers>
void score_tile(const ScoreTile& g) {
  Vec score[rows][registers];
  accumulate_tile<rows, registers>(g.width, g.q, g.q_row, 1, g.keys, registers * Vec::lanes, score);
  const float *p = g.p, *r = g.r;
  for (long c = 0; c < g.place; ++c, p += g.p_row, r += g.r_row) {
#pragma GCC unroll 16
    for (int i = 0; i < rows; ++i) {
      const Vec pv(p[i]);
#pragma GCC unroll 4
      for (int v = 0; v < registers; ++v) score[i][v] = fma(pv, Vec::load(r - i + v * Vec::lanes), score[i][v]);
    }
  }
#pragma GCC unroll 16
  for (int i = 0; i < rows; ++i)
#pragma GCC unroll 4
    for (int v = 0; v < registers; ++v) score[i][v].store(g.scores + i * g.scores_row + v * Vec::lanes);
}

/// entry[rows - 1][registers - 1]
struct ScoreTileTable {
  void (*entry[tile_rows][tile_registers])(const ScoreTile&);
};
template <int rows = 1>
PHONAUT_INLINE constexpr void fill_score_tiles(ScoreTileTable& table) {
  static_assert(tile_registers == 2);
  table.entry[rows - 1][0] = score_tile<rows, 1>;
  table.entry[rows - 1][1] = score_tile<rows, 2>;
  if constexpr (rows < tile_rows) fill_score_tiles<rows + 1>(table);
}
constexpr ScoreTileTable make_score_tiles() {
  ScoreTileTable table{};
  fill_score_tiles(table);
  return table;
}

/// Rows of score gradients seen along their diagonals: in coordinate x, row i begins i numbers further right, so that
/// all of them have the same distance j at the same x. What lies outside of the keys is zero.
struct Diagonals {
  long rows, count;  ///< x < count
  const float* d;
  long d_row;
  PHONAUT_INLINE const float* row(long i) const { return d + i * (d_row + 1); }
};

/// to[c][x] += Σ_i p[c][i] d_i[x], for a group of channels.
PHONAUT_INLINE void add_to_distances(const Diagonals& g, const float* p, long p_row, float* to, long to_row) {
  for (long x = 0; x < g.count; x += diagonal_step) {
    Vec sum[position_group][2];
#pragma GCC unroll 4
    for (long c = 0; c < position_group; ++c)
#pragma GCC unroll 2
      for (long v = 0; v < 2; ++v) sum[c][v] = Vec::load(to + c * to_row + x + v * Vec::lanes);
    for (long i = 0; i < g.rows; ++i) {
      const Vec d[2] = {Vec::load(g.row(i) + x), Vec::load(g.row(i) + x + Vec::lanes)};
#pragma GCC unroll 4
      for (long c = 0; c < position_group; ++c) {
        const Vec pv(p[c * p_row + i]);
#pragma GCC unroll 2
        for (long v = 0; v < 2; ++v) sum[c][v] = fma(pv, d[v], sum[c][v]);
      }
    }
#pragma GCC unroll 4
    for (long c = 0; c < position_group; ++c)
#pragma GCC unroll 2
      for (long v = 0; v < 2; ++v) sum[c][v].store(to + c * to_row + x + v * Vec::lanes);
  }
}

/// put(i, c, Σ_x d_i[x] r[c][x]), for a group of channels.
template <class Put>
PHONAUT_INLINE void sum_over_distances(const Diagonals& g, const float* r, long r_row, const Put& put) {
#if defined(__AVX512F__)
  constexpr long together = 4;  // times position_group accumulators: half of the registers
#else
  constexpr long together = 2;
#endif
  for (long i0 = 0; i0 < g.rows; i0 += together) {
    const float* d[together];  // behind the last row: that row again, not used
#pragma GCC unroll 4
    for (long i = 0; i < together; ++i) d[i] = g.row(min(i0 + i, g.rows - 1));
    Vec sum[together][position_group];
#pragma GCC unroll 4
    for (long i = 0; i < together; ++i)
#pragma GCC unroll 4
      for (long c = 0; c < position_group; ++c) sum[i][c] = Vec(0.0f);
    for (long x = 0; x < g.count; x += Vec::lanes) {
      Vec rv[position_group];
#pragma GCC unroll 4
      for (long c = 0; c < position_group; ++c) rv[c] = Vec::load(r + c * r_row + x);
#pragma GCC unroll 4
      for (long i = 0; i < together; ++i) {
        const Vec dv = Vec::load(d[i] + x);
#pragma GCC unroll 4
        for (long c = 0; c < position_group; ++c) sum[i][c] = fma(dv, rv[c], sum[i][c]);
      }
    }
    for (long i = 0; i < together && i0 + i < g.rows; ++i) {
      static_assert(position_group == 4);
      float total[4];
      sum_each(sum[i], total);
      for (long c = 0; c < position_group; ++c) put(i0 + i, c, total[c]);
    }
  }
}

}  // namespace phonaut::kernel::PHONAUT_ISA
#endif
