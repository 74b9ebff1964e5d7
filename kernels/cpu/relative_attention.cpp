// Attention weights from content and relative position.
//
// Forward: a few queries at a time meet packed keys, sliver by sliver. A tile of scores starts as their product and, in
// registers, gets the term of positions; softmax reads the row of scores from the cache, and writes weights once.
//
// Backward: a block of queries has its dS in a buffer, with zeros on both sides. The products dq = dS k and dk = dSᵀ q
// are tiles of the matrix product. dp and dr are sums along the diagonals of dS, where the distance is the same.
// Queries come in groups of fixed size, each with its own part of dk and dr; parts are added in order, so that the
// number of threads changes no bit.
#include "relative_attention.hpp"

#ifdef PHONAUT_ISA
#include "softmax_row.hpp"

namespace phonaut::kernel::PHONAUT_ISA {

namespace {

constexpr ScoreTileTable score_tiles = make_score_tiles();

// Queries of a block share one pass over the keys when dk is added up: enough of them that this adding costs little.
constexpr long block_rows = 4L * tile_rows;
// Queries of a group: a task of a thread, with a part of dk of its own.
constexpr long group_rows = 256;
// Additions in one chain of float.
constexpr long sum_block = 512;

/// Where the forward kernel keeps what, in floats from the start of its scratch memory.
struct ForwardLayout {
  long threads, head_keys, score_row;
  long keys, buffers, scores, queries, positions, buffer, total;
  ForwardLayout(const Cpu& cpu, const AttentionSizes& z)
      : threads(z.threads(cpu)),
        head_keys(round_up(z.keys, tile_columns) * z.width),
        score_row(spread_row(round_up(z.keys, tile_columns))),
        keys(z.column_floats()),
        buffers(spread_row(keys + z.batch * z.heads * head_keys)),
        scores(0),
        queries(tile_rows * score_row),
        positions(queries + tile_rows * z.padded_width),
        buffer(spread_row(positions + z.places * tile_rows)),
        total(buffers + threads * buffer) {}
};

struct BackwardLayout {
  static constexpr long left = round_up(tile_rows - 1, Vec::lanes), right = left + diagonal_step;
  EvenBlocks groups;
  long tasks, threads, window, part_row, d_row;
  long keys, dk, dr, buffers, queries, positions, buffer, total;
  BackwardLayout(const Cpu& cpu, const AttentionSizes& z)
      : groups(z.queries, group_rows),
        tasks(z.batch * z.heads * groups.count),
        threads(min(z.threads(cpu), tasks)),
        window(z.keys + min(z.queries, group_rows) - 1),
        part_row(Vec::lanes + round_up(window, Vec::lanes) + diagonal_step),
        d_row(spread_row(left + round_up(z.keys, Vec::lanes) + right)),
        keys(z.column_floats()),
        dk(keys + z.batch * z.heads * z.keys * z.padded_width),
        dr(dk + tasks * z.keys * z.padded_width),
        buffers(spread_row(dr + tasks * z.places * part_row)),
        queries(block_rows * d_row),
        positions(queries + block_rows * z.padded_width),
        buffer(spread_row(positions + z.places * block_rows)),
        total(buffers + threads * buffer) {}
  /// Of a task that begins with query `first` and ends before `last`: where distance j stands in a row of its dr.
  PHONAUT_INLINE long at(const AttentionSizes& z, long last, long j) const {
    return Vec::lanes + j - (z.queries - last);
  }
};

void scores_of_rows(const RelativeAttention<float>& a, const AttentionSizes& z, const ForwardLayout& l, float* scratch,
                    float* buffer, long n, long h, long first, long rows, AttentionSpan::Range seen) {
  float *queries = buffer + l.queries, *positions = buffer + l.positions;
  pad_rows(rows, z.width, &a.q(n, first, h * z.width), a.q.stride[1], queries, z.padded_width);
  positions_as_columns(rows, z, &a.p(n, first, h * z.place), a.p.stride[1], positions, tile_rows);
  const float* keys = scratch + l.keys + (n * z.heads + h) * l.head_keys;
  ScoreTile g{z.width,   z.place, queries,      z.padded_width, nullptr,    positions,
              tile_rows, nullptr, z.column_row, nullptr,        l.score_row};
  for (long s = seen.begin / tile_columns * tile_columns; s < seen.end; s += tile_columns) {
    g.keys = keys + s * z.width;
    g.r = scratch + h * z.places * z.column_row + z.queries - 1 - first + s;
    g.scores = buffer + l.scores + s;
    const long columns = sliver_width(min(tile_columns, z.keys - s));
    score_tiles.entry[rows - 1][columns / Vec::lanes - 1](g);
  }
}

/// Softmax of rows of scores. Each pass goes over as many rows as a part of L1 holds: short rows would wait for their
/// own sums.
void weights_of_rows(const RelativeAttention<float>& a, const AttentionSizes& z, float* scores, long scores_row, long n,
                     long h, long first, long last, View<float, 4> weights) {
  constexpr long floats_in_cache = 4096;
  const long together = max(1, min(tile_rows, floats_in_cache / z.keys));
  for (; first < last; scores += together * scores_row, first += together) {
    const long rows = min(together, last - first);
    AttentionSpan::Range span[tile_rows];
    Vec lanes[tile_rows];
    float shift[tile_rows], scale[tile_rows];
    for (long i = 0; i < rows; ++i) {
      span[i] = a.span.keys_of(n, first + i, z.queries, z.keys);
      if (span[i].empty()) span[i] = {z.keys, z.keys};
      lanes[i] = largest_along(scores + i * scores_row + span[i].begin, span[i].end - span[i].begin);
    }
    for (long i = 0; i < rows; ++i) shift[i] = largest(lanes[i]);
    for (long i = 0; i < rows; ++i) {
      float* row = scores + i * scores_row + span[i].begin;
      lanes[i] = exponentials_along(row, span[i].end - span[i].begin, shift[i], row);
    }
    for (long i = 0; i < rows; ++i) scale[i] = 1.0f / sum(lanes[i]);
    for (long i = 0; i < rows; ++i) {
      float* to = &weights(n, h, first + i, 0);
      const bool nothing_seen = span[i].empty();
      fill(to, span[i].begin, nothing_seen && a.span.uniform_if_empty ? 1.0f / static_cast<float>(z.keys) : 0.0f);
      scale_along(scores + i * scores_row + span[i].begin, span[i].end - span[i].begin, scale[i], to + span[i].begin);
      fill(to + span[i].end, z.keys - span[i].end, 0.0f);
    }
  }
}

/// dS of some queries, and zeros in the other columns from `tile_rows` before `seen` to `right` behind it.
void score_gradients(const RelativeAttention<float>& a, const AttentionSizes& z, View<const float, 4> dweights,
                     View<const float, 4> weights, long n, long h, long first, long rows, AttentionSpan::Range seen,
                     float* d, long d_row) {
  for (long i = 0; i < rows; ++i) {
    auto span = a.span.keys_of(n, first + i, z.queries, z.keys);
    if (span.empty()) span = {seen.begin, seen.begin};
    const float *y = &weights(n, h, first + i, span.begin), *dy = &dweights(n, h, first + i, span.begin);
    const long width = span.end - span.begin;
    float* row = d + i * d_row;
    const Vec dot(
        sum_along(width, [&](long s, auto w) PHONAUT_FORCE_INLINE { return load(y + s, w) * load(dy + s, w); }));
    fill(row + seen.begin - (tile_rows - 1), span.begin - seen.begin + tile_rows - 1, 0.0f);
    along(width, [&](long s, auto w) PHONAUT_FORCE_INLINE {
      store(row + span.begin + s, load(y + s, w) * (load(dy + s, w) - dot), w);
    });
    fill(row + span.end, seen.end + BackwardLayout::right - span.end, 0.0f);
  }
}

/// Queries [first, first + rows) of a task: their rows of dq and dp, and what they add to its dk and dr.
void backward_block(const AttentionSizes& z, const BackwardLayout& l, const float* scratch, const float* buffer, long n,
                    long h, long first, long rows, AttentionSpan::Range seen, long last_of_task,
                    const HeadFrames<float>& dq, float* dk, const HeadFrames<float>& dp, float* dr) {
  const float *d = buffer + l.left, *queries = buffer + l.queries, *positions = buffer + l.positions;
  const float* keys = scratch + l.keys + (n * z.heads + h) * z.keys * z.padded_width;
  const EvenBlocks row_tiles(rows, tile_rows), sums(seen.end - seen.begin, sum_block);
  for (long i = 0; i < row_tiles.count; ++i) {
    const long begin = row_tiles.begin(i), count = row_tiles.begin(i + 1) - begin, t = first + begin;
    if (dq.frames) {
      const long dq_row = dq.frames.stride[1];
      float* to = &dq.frames(n, t, h * z.width);
      for (long b = 0; b < sums.count; ++b) {
        const long s = seen.begin + sums.begin(b), k = sums.begin(b + 1) - sums.begin(b);
        for (long c = 0; c < z.width; c += tile_columns)
          tile_of(count, sliver_width(min(tile_columns, z.width - c)) / Vec::lanes)(
              k, d + begin * l.d_row + s, l.d_row, 1, keys + s * z.padded_width + c, z.padded_width,
              TileOutput{to + c, dq_row, nullptr, dq.add || b > 0, min(tile_columns, z.width - c)});
      }
    }
    // x = 0 is the distance of the last query of the tile and the first key.
    const Diagonals diagonals{count, seen.end - seen.begin + count - 1, d + begin * l.d_row + seen.begin - (count - 1),
                              l.d_row};
    const long distance = z.queries - t - count + seen.begin;
    for (long c = 0; c < z.places; c += position_group) {
      if (dp.frames)
        sum_over_distances(diagonals, scratch + (h * z.places + c) * z.column_row + distance, z.column_row,
                           [&](long row, long in_group, float value) PHONAUT_FORCE_INLINE {
                             if (c + in_group >= z.place) return;
                             float& to = dp.frames(n, t + row, h * z.place + c + in_group);
                             to = dp.add ? to + value : value;
                           });
      if (dr)
        add_to_distances(diagonals, positions + c * block_rows + begin, block_rows,
                         dr + c * l.part_row + l.at(z, last_of_task, distance), l.part_row);
    }
  }
  if (!dk) return;
  const EvenBlocks key_tiles(seen.end - seen.begin, tile_rows);
  for (long i = 0; i < key_tiles.count; ++i) {
    const long s = seen.begin + key_tiles.begin(i), count = key_tiles.begin(i + 1) - key_tiles.begin(i);
    for (long c = 0; c < z.padded_width; c += tile_columns) {
      const long columns = min(tile_columns, z.padded_width - c);
      tile_of(count, columns / Vec::lanes)(
          rows, d + s, 1, l.d_row, queries + c, z.padded_width,
          TileOutput{dk + s * z.padded_width + c, z.padded_width, nullptr, true, columns});
    }
  }
}

/// Rows of queries that see no key: nothing is added to them.
void clear_rows(const HeadFrames<float>& g, long n, long first, long rows, long channel, long width) {
  if (!g.frames || g.add) return;
  for (long t = first; t < first + rows; ++t)
    for (long c = 0; c < width; ++c) g.frames(n, t, channel + c) = 0.0f;
}

void backward_task(const RelativeAttention<float>& a, const AttentionSizes& z, const BackwardLayout& l,
                   View<const float, 4> dweights, View<const float, 4> weights, long task, float* scratch,
                   float* buffer, const HeadFrames<float>& dq, bool want_dk, const HeadFrames<float>& dp,
                   bool want_dr) {
  const long head = task / l.groups.count, group = task % l.groups.count, n = head / z.heads, h = head % z.heads;
  const long begin = l.groups.begin(group), end = l.groups.begin(group + 1);
  float* dk = want_dk ? scratch + l.dk + task * z.keys * z.padded_width : nullptr;
  float* dr = want_dr ? scratch + l.dr + task * z.places * l.part_row : nullptr;
  for (long i = 0; dk && i < z.keys * z.padded_width; i += Vec::lanes) Vec(0.0f).store(dk + i);
  for (long i = 0; dr && i < z.places * l.part_row; i += Vec::lanes) Vec(0.0f).store(dr + i);
  const EvenBlocks blocks(end - begin, block_rows);
  for (long b = 0; b < blocks.count; ++b) {
    const long first = begin + blocks.begin(b), rows = blocks.begin(b + 1) - blocks.begin(b);
    const auto seen = keys_of_any(a, n, first, first + rows);
    if (seen.empty()) {
      clear_rows(dq, n, first, rows, h * z.width, z.width);
      clear_rows(dp, n, first, rows, h * z.place, z.place);
      continue;
    }
    score_gradients(a, z, dweights, weights, n, h, first, rows, seen, buffer + l.left, l.d_row);
    pad_rows(rows, z.width, &a.q(n, first, h * z.width), a.q.stride[1], buffer + l.queries, z.padded_width);
    positions_as_columns(rows, z, &a.p(n, first, h * z.place), a.p.stride[1], buffer + l.positions, block_rows);
    backward_block(z, l, scratch, buffer, n, h, first, rows, seen, end, dq, dk, dp, dr);
  }
}

/// dk: the parts of all groups, in order.
void add_up_keys(const AttentionSizes& z, const BackwardLayout& l, const float* parts, const HeadFrames<float>& dk) {
  constexpr long rows = 64;
  const long blocks = blocks_of(z.keys, rows), part = z.keys * z.padded_width;
  parallel_for(l.threads, z.batch * z.heads * blocks, [&](long i) {
    const long head = i / blocks, n = head / z.heads, h = head % z.heads, first = i % blocks * rows;
    for (long s = first; s < min(z.keys, first + rows); ++s) {
      const float* from = parts + head * l.groups.count * part + s * z.padded_width;
      float* to = &dk.frames(n, s, h * z.width);
      along(z.width, [&](long c, auto w) PHONAUT_FORCE_INLINE {
        Vec total = load(from + c, w);
        for (long g = 1; g < l.groups.count; ++g) total += load(from + g * part + c, w);
        put(to + c, total, dk.add, w);
      });
    }
  });
}

/// dr: the parts of all groups and utterances, in order, with distances as rows again.
void add_up_distances(const AttentionSizes& z, const BackwardLayout& l, const float* parts, Sink<float, 2> dr) {
  const long channels = z.heads * z.place;
  parallel_for(l.threads, blocks_of(z.distances, Vec::lanes), [&](long block) {
    const long j = block * Vec::lanes, rows = min(Vec::lanes, z.distances - j);
    for (long first = 0; first < channels; first += Vec::lanes) {
      const long n = min(Vec::lanes, channels - first);
      Vec x[Vec::lanes];
      for (long i = 0; i < Vec::lanes; ++i) x[i] = Vec(0.0f);
      for (long g = 0; g < l.groups.count; ++g) {
        const long at = l.at(z, l.groups.begin(g + 1), j);
        if (at <= 0 || at >= Vec::lanes + l.window) continue;  // this group has none of these distances
        for (long i = 0; i < n; ++i) {
          const long h = (first + i) / z.place, c = (first + i) % z.place;
          for (long u = 0; u < z.batch; ++u)
            x[i] += Vec::load(parts + (((u * z.heads + h) * l.groups.count + g) * z.places + c) * l.part_row + at);
        }
      }
      transpose(x);
      for (long i = 0; i < rows; ++i) {
        float* to = dr.row(j + i) + first;
        if (n == Vec::lanes) put(to, x[i], dr.add);
        else put(to, x[i], dr.add, n);
      }
    }
  });
}

}  // namespace

void relative_attention_forward_scratch(const Cpu& cpu, const RelativeAttention<float>& a, long& numbers) {
  numbers = ForwardLayout(cpu, AttentionSizes(a)).total;
}
void relative_attention_backward_scratch(const Cpu& cpu, const RelativeAttention<float>& a, long& numbers) {
  numbers = BackwardLayout(cpu, AttentionSizes(a)).total;
}

void relative_attention_forward(const Cpu& cpu, const RelativeAttention<float>& a, float* scratch,
                                View<float, 4> weights) {
  const AttentionSizes z(a);
  const ForwardLayout l(cpu, z);
  distances_as_columns(l.threads, z, a.r, scratch);
  parallel_for(l.threads, z.batch * z.heads, [&](long head) {
    pack_block<false>(z.width, z.keys, &a.k(head / z.heads, 0, head % z.heads * z.width), 1, a.k.stride[1],
                      scratch + l.keys + head * l.head_keys);
  });
  const EvenBlocks blocks(z.queries, tile_rows);
  const long tasks = z.batch * z.heads * blocks.count;
  parallel_threads(l.threads, [&](long thread) {
    float* buffer = scratch + l.buffers + thread * l.buffer;
    for (long task = thread; task < tasks; task += l.threads) {
      const long head = task / blocks.count, block = task % blocks.count, n = head / z.heads, h = head % z.heads;
      const long first = blocks.begin(block), last = blocks.begin(block + 1);
      const auto seen = keys_of_any(a, n, first, last);
      if (!seen.empty()) scores_of_rows(a, z, l, scratch, buffer, n, h, first, last - first, seen);
      weights_of_rows(a, z, buffer + l.scores, l.score_row, n, h, first, last, weights);
    }
  });
}

void relative_attention_backward(const Cpu& cpu, const RelativeAttention<float>& a, View<const float, 4> dweights,
                                 View<const float, 4> weights, float* scratch, HeadFrames<float> dq,
                                 HeadFrames<float> dk, HeadFrames<float> dp, Sink<float, 2> dr) {
  const AttentionSizes z(a);
  const BackwardLayout l(cpu, z);
  const bool want_dk = static_cast<bool>(dk.frames), want_dr = static_cast<bool>(dr);
  if (dp.frames) distances_as_columns(l.threads, z, a.r, scratch);
  if (dq.frames)
    parallel_for(l.threads, z.batch * z.heads, [&](long head) {
      pad_rows(z.keys, z.width, &a.k(head / z.heads, 0, head % z.heads * z.width), a.k.stride[1],
               scratch + l.keys + head * z.keys * z.padded_width, z.padded_width);
    });
  parallel_threads(l.threads, [&](long thread) {
    float* buffer = scratch + l.buffers + thread * l.buffer;
    for (long task = thread; task < l.tasks; task += l.threads)
      backward_task(a, z, l, dweights, weights, task, scratch, buffer, dq, want_dk, dp, want_dr);
  });
  if (want_dk) add_up_keys(z, l, scratch + l.dk, dk);
  if (want_dr) add_up_distances(z, l, scratch + l.dr, dr);
}

}  // namespace phonaut::kernel::PHONAUT_ISA
#else
#include "phonaut/ops/relative_attention.hpp"
#endif

PHONAUT_DISPATCH(relative_attention_forward_scratch, (const Cpu& cpu, const RelativeAttention<float>& a, long& numbers),
                 (cpu, a, numbers))
PHONAUT_DISPATCH(relative_attention_backward_scratch,
                 (const Cpu& cpu, const RelativeAttention<float>& a, long& numbers), (cpu, a, numbers))
PHONAUT_DISPATCH(relative_attention_forward,
                 (const Cpu& cpu, const RelativeAttention<float>& a, float* scratch, View<float, 4> weights),
                 (cpu, a, scratch, weights))
PHONAUT_DISPATCH(relative_attention_backward,
                 (const Cpu& cpu, const RelativeAttention<float>& a, View<const float, 4> dweights,
                  View<const float, 4> weights, float* scratch, HeadFrames<float> dq, HeadFrames<float> dk,
                  HeadFrames<float> dp, Sink<float, 2> dr),
                 (cpu, a, dweights, weights, scratch, dq, dk, dp, dr))
