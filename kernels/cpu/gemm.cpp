// The matrix product: packed slivers of b against rows of a, tile by tile (gemm_tile.hpp).
//
// A thread owns a rectangle of c (of each matrix of a batch) and needs nothing from the others. It walks over blocks of
// k; per block over columns, whose part of b it packs to stay in L2; per block of columns over panels of tile_rows rows
// of a, which stay in L1 while all slivers pass by. Every element of c is summed in the order of k, in blocks whose
// size depends on k alone: the result does not depend on the number of threads, nor on where tiles begin.
#include "phonaut/ops/gemm.hpp"

#include "gemm_tile.hpp"
#include "parallel.hpp"
#include "scratch.hpp"

#ifdef PHONAUT_ISA
namespace phonaut::kernel::PHONAUT_ISA {

namespace {

constexpr long k_block = 256;                     // tile_columns x 256 floats: a third of L1 or so
constexpr long n_block = 512;                     // 256 x 512 floats: half of a 1 MiB L2
constexpr long panel_row = k_block + Vec::lanes;  // rows of a copied panel fall into different cache sets
// A panel of rows as they are, or as a sliver of columns.
constexpr long panel_floats = (tile_rows > Vec::lanes ? tile_rows : Vec::lanes) * panel_row;
constexpr long floats_per_thread = k_block * n_block + panel_floats;
static_assert(sliver_width(tile_rows) * k_block <= panel_floats && n_block % tile_columns == 0);

PHONAUT_INLINE long min(long a, long b) { return a < b ? a : b; }

/// n things in as few blocks as a limit allows, as equal as possible.
struct EvenBlocks {
  long n, count;
  PHONAUT_INLINE EvenBlocks(long n_, long limit) : n(n_), count(blocks_of(n_, limit)) {}
  PHONAUT_INLINE long begin(long i) const { return n * i / count; }
};

/// Whether rows that far apart fall into so few cache sets that a panel of them evicts itself.
PHONAUT_INLINE bool crowds_cache(long row) { return row % 512 == 0; }

constexpr TileTable tiles = make_tiles<false>(), transposed_tiles = make_tiles<true>();

/// One thread's rectangle [m0, m1) x [n0, n1) of c = a b, or of its transpose.
template <bool transposed>
void multiply_rectangle(const Gemm<float>& g, const float* a, const float* b, float* c, long m0, long m1, long n0,
                        long n1, float* memory) {
  float* packed_b = memory;
  float* panel = memory + k_block * n_block;
  const long k_blocks = g.k > 0 ? blocks_of(g.k, k_block) : 1;
  for (long kb = 0; kb < k_blocks; ++kb) {
    const long p0 = g.k * kb / k_blocks, k = g.k * (kb + 1) / k_blocks - p0;
    const bool add = g.add || kb > 0;
    const float* bias = kb == 0 ? g.bias : nullptr;
    for (long j0 = n0; j0 < n1; j0 += n_block) {
      const long columns = min(n_block, n1 - j0);
      for (long j = 0; j < columns; j += tile_columns)
        pack_sliver(k, min(tile_columns, columns - j), b + p0 * g.b_row + (j0 + j) * g.b_col, g.b_row, g.b_col,
                    packed_b + j * k);
      const EvenBlocks panels(m1 - m0, tile_rows);
      for (long i = 0; i < panels.count; ++i) {
        const long row = m0 + panels.begin(i), rows = m0 + panels.begin(i + 1) - row;
        const float* from = a + row * g.a_row + p0 * g.a_col;
        long a_row = g.a_row, a_col = g.a_col;
        if (a_col != 1 || crowds_cache(a_row)) {
          if (a_col == 1) {
            for (long r = 0; r < rows; ++r) copy(from + r * a_row, k, panel + r * panel_row);
            a_row = panel_row;
          } else {
            pack_sliver(k, rows, from, a_col, a_row, panel);
            a_row = 1, a_col = sliver_width(rows);
          }
          from = panel;
        }
        const Tile* run = (transposed ? transposed_tiles : tiles).entry[rows - 1];
        for (long j = 0; j < columns; j += tile_columns) {
          const long width = min(tile_columns, columns - j), at = j0 + j;
          const long stride = sliver_width(width);
          const TileOutput out =
              transposed ? TileOutput{c + at * g.c_row + row, g.c_row, bias ? bias + row : nullptr, add, width}
                         : TileOutput{c + row * g.c_row + at, g.c_row, bias ? bias + at : nullptr, add, width};
          run[stride / Vec::lanes - 1](k, from, a_row, a_col, packed_b + j * k, stride, out);
        }
      }
    }
  }
}

}  // namespace

void gemm(const Cpu& cpu, const Gemm<float>& g) {
  if (g.m <= 0 || g.n <= 0 || g.batch <= 0) return;
  const bool transposed = false;
  const long threads = cpu.threads;
  float* memory = scratch(Scratch::gemm, threads * floats_per_thread);
  const long split_m = g.m >= g.n ? threads : 1, split_n = g.m >= g.n ? 1 : threads;
  parallel_threads(threads, [&](long t) {
    const long tasks = g.batch * split_m * split_n;
    for (long task = tasks * t / threads; task < tasks * (t + 1) / threads; ++task) {
      const long q = task / (split_m * split_n), part = task % (split_m * split_n);
      const long pm = part / split_n, pn = part % split_n;
      const long mp = blocks_of(g.m, tile_rows), np = blocks_of(g.n, tile_columns);
      multiply_rectangle<transposed>(
          g, g.a + q * g.a_batch, g.b + q * g.b_batch, g.c + q * g.c_batch, min(g.m, mp * pm / split_m * tile_rows),
          min(g.m, mp * (pm + 1) / split_m * tile_rows), min(g.n, np * pn / split_n * tile_columns),
          min(g.n, np * (pn + 1) / split_n * tile_columns), memory + t * floats_per_thread);
    }
  });
}

}  // namespace phonaut::kernel::PHONAUT_ISA
#endif

PHONAUT_DISPATCH(gemm, (const Cpu& cpu, const Gemm<float>& g), (cpu, g))
