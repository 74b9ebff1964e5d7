// The matrix product.
//
// A thread owns a rectangle of c (of some matrices of the batch) and needs nothing from the others. It walks over
// blocks of k; per block over columns, whose part of b it packs into slivers that stay in L2; per block of columns over
// panels of tile_rows rows of a, which stay in L1 while all slivers pass by (gemm_tile.hpp). Every element of c is
// summed in the order of k, in blocks that depend on k alone: where rectangles, panels and tiles begin changes no bit
// of it.
//
// Two other ways where packing would cost more than it saves. Few rows of a, and both sides with consecutive k (a
// linear map of a few frames): b is read in place in the role of a, and c is written transposed; for very few, dot
// products (gemm_dot.hpp). Few rows of a and b with consecutive columns: slivers of b are read in place. The choice
// looks at the whole problem, never at the threads.
//
// In bf16 the panels of a are packed too, since their numbers must be rounded (gemm_operands.hpp), and nothing is read
// in place but by dot products, which round on the way.
#include "gemm.hpp"

#include "activate.hpp"
#include "gemm_dot.hpp"
#include "gemm_pack.hpp"
#include "packed_matrix.hpp"
#include "parallel.hpp"
#include "scratch.hpp"

#ifdef PHONAUT_ISA
namespace phonaut::kernel::PHONAUT_ISA {

namespace {

// Measured on Zen 5 and chosen so that they also fit Intel's servers: a panel (14 x 512 floats) stays in a
// 48 KiB L1 beside the stream of b, of which a packed block (512 x 256) is half of a 1 MiB L2. In words.
#if defined(PHONAUT_AMX)
constexpr long k_block = 256, n_block = 256;  // a panel has 32 rows
#else
constexpr long k_block = 512, n_block = 256;
#endif
// Rows of a copied panel fall into different sets of the cache.
constexpr long panel_row = k_block + Vec::lanes;
// A panel by columns has rows of whole registers.
constexpr long panel_floats = tile_rows * panel_row > k_block* Vec::lanes ? tile_rows* panel_row : k_block* Vec::lanes;
constexpr long floats_per_thread = k_block * n_block + panel_floats;
static_assert(n_block % tile_columns == 0);
#if defined(__AVX512BF16__)
// Packed rows are read where they lie, by whole registers and tiles.
static_assert(packed_block % numbers_along == 0 && packed_rows_behind >= tile_rows - 1);
#endif

// Up to so many rows of a ...
constexpr long rows_for_dots = 8;         // ... dot products win where k is consecutive on both sides,
constexpr long rows_for_transposed = 64;  // ... reading b in the role of a does,
constexpr long rows_for_direct_b = 128;   // ... and reading rows of b in place.
constexpr long rows_for_packed = 256;     // As rows_for_transposed, where b is packed already.
// A second thread costs a few microseconds; it should bring so much work with it, or so many numbers to read and write.
constexpr double flops_per_thread = 1.5e6, numbers_per_thread = 1e5;

constexpr TileTable tiles = make_tiles<false>(), transposed_tiles = make_tiles<true>();
template <bool rounded>
constexpr DotTable dot_tiles = make_dot_tiles<rounded, false>();
#if defined(__AVX512BF16__)
constexpr DotTable packed_dot_tiles = make_dot_tiles<true, true>();
#endif

PHONAUT_INLINE long min(long a, long b) { return a < b ? a : b; }

/// Whether rows that far apart fall into so few sets of the cache that a panel of them evicts itself.
[[maybe_unused]] PHONAUT_INLINE bool crowds_cache(long row) { return row % 1024 == 0; }

/// Asks for a part of `rows` rows of k numbers: what the next panel reads comes while tiles of this one are computed,
/// from memory or an outer cache into the second one.
PHONAUT_INLINE void fetch_rows(const float* a, long a_row, long rows, long k, long part, long parts) {
  constexpr long line = 16;  // floats
  const long lines = blocks_of(k, line), first = lines * part / parts, last = lines * (part + 1) / parts;
  for (long i = 0; i < rows; ++i)
    for (long l = first; l < last; ++l) __builtin_prefetch(a + i * a_row + l * line, 0, 2);
}

/// The blocks of k: whole registers of words in each, but for the last one.
struct KBlocks {
  EvenBlocks registers;
  long k, count;
  PHONAUT_INLINE explicit KBlocks(long k_)
      : registers(k_ > 0 ? blocks_of(k_, numbers_along) : 1, k_block / Vec::lanes), k(k_), count(registers.count) {}
  PHONAUT_INLINE long begin(long i) const { return min(k, registers.begin(i) * numbers_along); }
};

struct Rectangle {
  long q, m0, m1, n0, n1;
};

/// Rows [m0, m1) and columns [n0, n1) of the product of matrix q. For the transposed way `g` has a and b exchanged (so
/// has the rectangle), but c and bias stay as they are; its a may be `packed`. For the other way b may be in `slivers`.
template <bool rounded, bool transposed>
void multiply_tiles(const Gemm<float>& g, const PackedMatrix& packed, const float* slivers, const Rectangle& r,
                    bool direct_b, float* memory, const Finish& finish) {
  const float* a = g.a + r.q * g.a_batch;
  const float* b = g.b + r.q * g.b_batch;
  float* c = g.c + r.q * g.c_batch;
  float* own_b = memory;
  float* panel = memory + k_block * n_block;
  const KBlocks k_blocks(g.k);
  const EvenBlocks panels(r.m1 - r.m0, tile_rows);
  for (long kb = 0; kb < k_blocks.count; ++kb) {
    const long p0 = k_blocks.begin(kb), k = k_blocks.begin(kb + 1) - p0;
    const long words = words_of(k);
    const bool add = g.add || kb > 0;
    const float* bias = kb == 0 ? g.bias : nullptr;
    const float* k_a = a + r.m0 * g.a_row + p0 * g.a_col;
    for (long j0 = r.n0; j0 < r.n1; j0 += n_block) {
      const long columns = min(n_block, r.n1 - j0), in_place = direct_b ? columns / tile_columns * tile_columns : 0;
      const float* from_b = b + p0 * g.b_row + j0 * g.b_col;
      const float* packed_b = own_b;
      if (!transposed && slivers) packed_b = slivers + p0 * sliver_width(g.n) + j0 * words;
      else
        pack_block<rounded>(k, columns - in_place, from_b + in_place * g.b_col, g.b_row, g.b_col,
                            own_b + in_place * words);
      for (long i = 0; i < panels.count; ++i) {
        const long row = r.m0 + panels.begin(i), rows = r.m0 + panels.begin(i + 1) - row;
        Panel of_a{k_a + (row - r.m0) * g.a_row, g.a_row, g.a_col};
        if (rounded && transposed && packed.words) {
          of_a = {packed.words + row * packed.row + p0 / numbers_per_word, packed.row, 1};
        } else if constexpr (rounded) {
          of_a = pack_panel(rows, k, of_a.data, of_a.row, of_a.col, panel, panel_row);
        } else if (of_a.col == 1 && crowds_cache(of_a.row) && columns > 4 * tile_columns) {
          for (long l = 0; l < rows; ++l) copy(of_a.data + l * of_a.row, k, panel + l * panel_row);
          of_a = {panel, panel_row, 1};
        }
        const Tile* run = (transposed ? transposed_tiles : tiles).entry[rows - 1];
        // Tiles of the transposed way ask for rows themselves.
        const bool fetch = !transposed && g.a_col == 1 && i + 1 < panels.count;
        for (long j = 0; j < columns; j += tile_columns) {
          if (fetch)
            fetch_rows(k_a + panels.begin(i + 1) * g.a_row, g.a_row, panels.begin(i + 2) - panels.begin(i + 1), k,
                       j / tile_columns, blocks_of(columns, tile_columns));
          const long width = min(tile_columns, columns - j), at = j0 + j, stride = sliver_width(width);
          const TileOutput out =
              transposed ? TileOutput{c + at * g.c_row + row, g.c_row, bias ? bias + row : nullptr, add, width}
                         : TileOutput{c + row * g.c_row + at, g.c_row, bias ? bias + at : nullptr, add, width};
          if (j < in_place) run[tile_registers - 1](words, of_a.data, of_a.row, of_a.col, from_b + j, g.b_row, out);
          else run[stride / Vec::lanes - 1](words, of_a.data, of_a.row, of_a.col, packed_b + j * words, stride, out);
        }
        if (finish.call && kb + 1 == k_blocks.count) {
          if (transposed) finish.call(finish.state, r.q, j0, columns, row, rows);
          else finish.call(finish.state, r.q, row, rows, j0, columns);
        }
      }
    }
  }
}

/// Rows of a against rows of b: of both, a few at a time stay in L1.
template <bool rounded>
void multiply_dots(const Gemm<float>& g, [[maybe_unused]] const PackedMatrix& packed, const Rectangle& r,
                   const Finish& finish) {
  const float* a = g.a + r.q * g.a_batch;
  const float* b = g.b + r.q * g.b_batch;
  float* c = g.c + r.q * g.c_batch;
  const bool few_rows = g.m <= g.n;  // which side passes by again and again: the small one
  const long outer0 = few_rows ? r.n0 : r.m0, outer1 = few_rows ? r.n1 : r.m1;
  const long inner0 = few_rows ? r.m0 : r.n0, inner1 = few_rows ? r.m1 : r.n1;
  for (long o = outer0; o < outer1; o += dot_columns) {
    const long columns = min(dot_columns, outer1 - o);
    for (long i = inner0; i < inner1; i += dot_rows) {
      const long rows = min(dot_rows, inner1 - i);
      const DotTile run = dot_tiles<rounded>.entry[rows - 1][columns - 1];
#if defined(__AVX512BF16__)
      if (few_rows && packed.words) {
        packed_dot_tiles.entry[rows - 1][columns - 1](g.k, a + i * g.a_row, g.a_row, packed.words + o * packed.row,
                                                      packed.row, c + i * g.c_row + o, g.c_row, 1, nullptr,
                                                      g.bias ? g.bias + o : nullptr, g.add);
        continue;
      }
#endif
      if (few_rows)
        run(g.k, a + i * g.a_row, g.a_row, b + o * g.b_col, g.b_col, c + i * g.c_row + o, g.c_row, 1, nullptr,
            g.bias ? g.bias + o : nullptr, g.add);
      else
        run(g.k, b + i * g.b_col, g.b_col, a + o * g.a_row, g.a_row, c + o * g.c_row + i, 1, g.c_row,
            g.bias ? g.bias + i : nullptr, nullptr, g.add);
    }
    if (finish.call) {
      if (few_rows) finish.call(finish.state, r.q, r.m0, r.m1 - r.m0, o, columns);
      else finish.call(finish.state, r.q, o, columns, r.n0, r.n1 - r.n0);
    }
  }
}

/// How each matrix is cut, in multiples of (rows, columns): parts along m and n.
struct Grid {
  long m = 1, n = 1;
};

/// The cheapest way to share (rows x columns) among at most `threads` threads. Packing a column costs about as much as
/// 12 rows of its product, copying a row about as much as 4 columns.
Grid share(long rows, long row_unit, long columns, long column_unit, long threads) {
  Grid best;
  double least = -1;
  for (long m = 1; m <= threads; ++m) {
    const long n = threads / m;
    const long part_rows = blocks_of(blocks_of(rows, row_unit), m) * row_unit;
    const long part_columns = blocks_of(blocks_of(columns, column_unit), n) * column_unit;
    const double cost = (static_cast<double>(part_rows) + 12) * (static_cast<double>(part_columns) + 4);
    if (least < 0 || cost < least) least = cost, best = {m, n};
  }
  return best;
}

/// At most `limit` threads, but only as many as have enough to do.
long threads_for(const Gemm<float>& g, long limit) {
  const double m = static_cast<double>(g.m), n = static_cast<double>(g.n), k = static_cast<double>(g.k > 0 ? g.k : 1);
  const double work = 2 * m * n * k / flops_per_thread + (m * k + k * n + m * n) / numbers_per_thread;
  const double shares = work * static_cast<double>(g.batch);
  if (shares < static_cast<double>(limit)) limit = static_cast<long>(shares);
  return limit > 1 ? limit : 1;
}

/// While it lives, the calling thread has the tiles of AMX, where they are what this pass computes with.
struct Tiles {
#if defined(PHONAUT_AMX)
  Tiles() { amx_configure(); }
  ~Tiles() { amx_release(); }
  Tiles(const Tiles&) = delete;
  Tiles& operator=(const Tiles&) = delete;
#endif
};

template <bool rounded>
void multiply(const Cpu& cpu, const Gemm<float>& given, const Finish& finish) {
  if (given.m <= 0 || given.n <= 0 || given.batch <= 0) return;
  const bool consecutive_k = (given.a_col == 1 || given.k == 1) && (given.b_row == 1 || given.k == 1);
  const bool dots = consecutive_k && given.k > 0 && min(given.m, given.n) <= rows_for_dots;
  PackedMatrix packed;
#if defined(__AVX512BF16__)
  if (cpu.packed && given.batch == 1 && given.b_row == 1 && given.b_col == given.k)
    packed = find_packed(cpu.packed, given.b, given.n, given.k);
#endif
  [[maybe_unused]] const float* slivers = nullptr;
  if constexpr (!rounded)
    if (cpu.packed && given.b_row == 1 && given.b_col == given.k && (given.batch == 1 || given.b_batch == 0))
      slivers = find_slivers(cpu.packed, given.b, given.n, given.k, cpu.isa);
  const long rows_in_place = packed.words ? rows_for_packed : rows_for_transposed;
  const bool transposed = !dots && consecutive_k && given.m <= rows_in_place && given.m < given.n;
  const bool direct_b = !rounded && !slivers && given.b_col == 1 && given.m <= rows_for_direct_b;
  Gemm<float> g = given;
  if (transposed) {
    g.m = given.n, g.a = given.b, g.a_row = given.b_col, g.a_col = given.b_row, g.a_batch = given.b_batch;
    g.n = given.m, g.b = given.a, g.b_row = given.a_col, g.b_col = given.a_row, g.b_batch = given.a_batch;
  }
  long threads = threads_for(g, cpu.threads);
  const long row_unit = dots ? dot_columns : tile_rows, column_unit = dots ? dot_columns : tile_columns;
  Grid grid;
  // Many matrices: whole ones for each thread. Few: each is cut.
  if (threads > 1 && g.batch < 4 * threads && g.batch % threads != 0)
    grid = share(g.m, row_unit, g.n, column_unit, threads);
  const long parts = grid.m * grid.n, tasks = g.batch * parts;
  if (threads > tasks) threads = tasks;
  const long row_units = blocks_of(g.m, row_unit), column_units = blocks_of(g.n, column_unit);
  float* memory = dots ? nullptr : scratch(Scratch::gemm, threads * floats_per_thread);
  parallel_threads(threads, [&](long t) {
    [[maybe_unused]] const Tiles tiles_of_thread;
    for (long task = tasks * t / threads; task < tasks * (t + 1) / threads; ++task) {
      const long part_m = task % parts / grid.n, part_n = task % grid.n;
      const Rectangle r{task / parts, min(g.m, row_units * part_m / grid.m * row_unit),
                        min(g.m, row_units * (part_m + 1) / grid.m * row_unit),
                        min(g.n, column_units * part_n / grid.n * column_unit),
                        min(g.n, column_units * (part_n + 1) / grid.n * column_unit)};
      if (dots) {
        multiply_dots<rounded>(g, packed, r, finish);
        continue;
      }
      if (transposed)
        multiply_tiles<rounded, true>(g, packed, nullptr, r, false, memory + t * floats_per_thread, finish);
      else multiply_tiles<rounded, false>(g, {}, slivers, r, direct_b, memory + t * floats_per_thread, finish);
    }
  });
}

}  // namespace

#if !defined(__AVX512BF16__)
void pack_slivers(const Cpu&, const float* b, long rows, long k, float* to) {
  const KBlocks k_blocks(k);
  for (long kb = 0; kb < k_blocks.count; ++kb) {
    const long p0 = k_blocks.begin(kb);
    pack_block<false>(k_blocks.begin(kb + 1) - p0, rows, b + p0, 1, k, to + p0 * sliver_width(rows));
  }
}
#endif

Tile tile_of(long rows, long registers) { return tiles.entry[rows - 1][registers - 1]; }

void gemm(const Cpu& cpu, const Gemm<float>& g, const Finish& finish) {
#if !defined(__AVX512BF16__)
  if (cpu.precision != Precision::bf16) return multiply<false>(cpu, g, finish);
#endif
  multiply<true>(cpu, g, finish);
}

void gemm_own(const Cpu& cpu, const Gemm<float>& g) {
  if (g.activation == Activation::none) return gemm(cpu, g, Finish{});
  gemm_then(cpu, g, [&g](long q, long row, long rows, long column, long columns) {
    activate(g.activation, g.c + q * g.c_batch + row * g.c_row + column, g.c_row, rows, columns);
  });
}

}  // namespace phonaut::kernel::PHONAUT_ISA
#endif

PHONAUT_DISPATCH(pack_slivers, (const Cpu& cpu, const float* b, long rows, long k, float* to), (cpu, b, rows, k, to))
PHONAUT_DISPATCH_PRODUCTS(gemm_own, (const Cpu& cpu, const Gemm<float>& g), (cpu, g))
