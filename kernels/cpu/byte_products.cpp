// c = a bᵀ with b in bytes (core/packed_weights.hpp). Each row of a is scaled to bytes first; then sums of products of
// bytes are exact integers, so neither threads nor the instruction set change them, and are scaled back as they are
// written.
//
// With VNNI, one instruction multiplies four bytes without a sign by four with one, and adds up the four products: so a
// gets 128 added, and what that adds to a sum is taken off again (PackedBytes::shift). Other instruction sets widen
// bytes to 16 bits, of which all x86-64 processors multiply pairs.
#include "byte_products.hpp"

#include "activate.hpp"
#include "parallel.hpp"
#include "scratch.hpp"
#include "vec.hpp"

#ifdef PHONAUT_ISA
#include <cstdint>

namespace phonaut::kernel::PHONAUT_ISA {

namespace {

#if defined(__AVX512BW__)

// With VNNI and without.
constexpr int tile_rows = 12, tile_sums = 2;
struct Sum {
  static constexpr long ints = 16;
  __m512i v;
};
struct Weights {
  __m512i v;
};
using Quad = Weights;
PHONAUT_INLINE Sum no_sum() { return {_mm512_setzero_si512()}; }
PHONAUT_INLINE void store(Sum c, std::int32_t* to) { _mm512_storeu_si512(to, c.v); }

#endif

#if defined(__AVX512VNNI__)

using Number = std::uint8_t;
constexpr std::int32_t offset = 128;
constexpr int sums_per_column = 1;

PHONAUT_INLINE Weights load(const std::int8_t* b) { return {_mm512_loadu_si512(b)}; }
PHONAUT_INLINE Quad spread(const Number* a) {
  std::int32_t four;
  __builtin_memcpy(&four, a, sizeof four);
  return {_mm512_set1_epi32(four)};
}
PHONAUT_INLINE Sum multiply_add(Quad a, Weights b, Sum c) { return {_mm512_dpbusd_epi32(c.v, a.v, b.v)}; }

#else

using Number = std::int16_t;
constexpr std::int32_t offset = 0;
// A sum has places for the first two and for the last two of four products.
constexpr int sums_per_column = 2;

PHONAUT_INLINE long long four_of(const Number* a) {
  long long four;
  __builtin_memcpy(&four, a, sizeof four);
  return four;
}

#if defined(__AVX512BW__)

PHONAUT_INLINE Weights load(const std::int8_t* b) {
  return {_mm512_cvtepi8_epi16(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(b)))};
}
PHONAUT_INLINE Quad spread(const Number* a) { return {_mm512_set1_epi64(four_of(a))}; }
PHONAUT_INLINE Sum multiply_add(Quad a, Weights b, Sum c) {
  return {_mm512_add_epi32(c.v, _mm512_madd_epi16(a.v, b.v))};
}

#elif defined(__AVX2__)

constexpr int tile_rows = 6, tile_sums = 2;
struct Sum {
  static constexpr long ints = 8;
  __m256i v;
};
struct Weights {
  __m256i v;
};
using Quad = Weights;
PHONAUT_INLINE Sum no_sum() { return {_mm256_setzero_si256()}; }
PHONAUT_INLINE Weights load(const std::int8_t* b) {
  return {_mm256_cvtepi8_epi16(_mm_loadu_si128(reinterpret_cast<const __m128i*>(b)))};
}
PHONAUT_INLINE Quad spread(const Number* a) { return {_mm256_set1_epi64x(four_of(a))}; }
PHONAUT_INLINE Sum multiply_add(Quad a, Weights b, Sum c) {
  return {_mm256_add_epi32(c.v, _mm256_madd_epi16(a.v, b.v))};
}
PHONAUT_INLINE void store(Sum c, std::int32_t* to) { _mm256_storeu_si256(reinterpret_cast<__m256i*>(to), c.v); }

#elif defined(__SSE2__)

constexpr int tile_rows = 4, tile_sums = 2;
struct Sum {
  static constexpr long ints = 4;
  __m128i v;
};
struct Weights {
  __m128i v;
};
using Quad = Weights;
PHONAUT_INLINE Sum no_sum() { return {_mm_setzero_si128()}; }
PHONAUT_INLINE Weights load(const std::int8_t* b) {
  const __m128i x = _mm_loadl_epi64(reinterpret_cast<const __m128i*>(b));
  return {_mm_srai_epi16(_mm_unpacklo_epi8(x, x), 8)};
}
PHONAUT_INLINE Quad spread(const Number* a) { return {_mm_set1_epi64x(four_of(a))}; }
PHONAUT_INLINE Sum multiply_add(Quad a, Weights b, Sum c) { return {_mm_add_epi32(c.v, _mm_madd_epi16(a.v, b.v))}; }
PHONAUT_INLINE void store(Sum c, std::int32_t* to) { _mm_storeu_si128(reinterpret_cast<__m128i*>(to), c.v); }

#else

constexpr int tile_rows = 4, tile_sums = 2;
struct Sum {
  static constexpr long ints = 8;
  std::int32_t v[ints];
};
struct Weights {
  const std::int8_t* v;
};
struct Quad {
  const Number* v;
};
PHONAUT_INLINE Sum no_sum() { return {}; }
PHONAUT_INLINE Weights load(const std::int8_t* b) { return {b}; }
PHONAUT_INLINE Quad spread(const Number* a) { return {a}; }
PHONAUT_INLINE Sum multiply_add(Quad a, Weights b, Sum c) {
  for (long i = 0; i < Sum::ints; ++i) {
    const long first = 2 * (i % 2);
    c.v[i] += a.v[first] * b.v[2 * i] + a.v[first + 1] * b.v[2 * i + 1];
  }
  return c;
}
PHONAUT_INLINE void store(Sum c, std::int32_t* to) { __builtin_memcpy(to, c.v, sizeof c.v); }

#endif
#endif

constexpr long sum_columns = Sum::ints / sums_per_column, tile_columns = tile_sums * sum_columns;
static_assert(byte_columns % tile_columns == 0);
static_assert(tile_columns % Vec::lanes == 0, "a tile's rows are written by whole registers");

/// Scales k numbers to the nearest integers in [-127, 127], plus `offset`, with zeros up to whole quads. Returns what
/// one of them stands for; NaN if a number is not finite.
float to_bytes(const float* x, long k, Number* to) {
  Vec largest(0.0f), none(0.0f);
  for (long p = 0; p < k; p += Vec::lanes) {
    const Vec v = k - p < Vec::lanes ? Vec::load(x + p, k - p) : Vec::load(x + p);
    largest = max(largest, abs(v));
    none += v * Vec(0.0f);  // NaN if one is not finite
  }
  alignas(64) float lane[Vec::lanes];
  largest.store(lane);
  float most = 0;
  for (float v : lane) most = most < v ? v : most;
  // Below, 127 / most would soon be too large for a float; the row then counts as zeros.
  constexpr float least = 1e-30f;
  const float inverse = most > least ? 127 / most : 0.0f;
  // Adding 1.5 · 2^23 leaves the nearest integer, ties to even, in the lower digits.
  constexpr float magic = 12582912.0f;
  const Ints zero = bits_of(Vec(magic)) - Ints(offset);
  const long whole = PackedBytes::quads_of(k) * quad;
  alignas(64) std::int32_t integers[Vec::lanes];
  for (long p = 0; p < whole; p += Vec::lanes) {
    const long here = k - p < Vec::lanes ? k - p : Vec::lanes, filled = whole - p < Vec::lanes ? whole - p : Vec::lanes;
    const Vec v = here < Vec::lanes ? Vec::load(x + p, here) : Vec::load(x + p);
    (bits_of(fma(v, Vec(inverse), Vec(magic))) - zero).store_aligned(integers);
    for (long i = 0; i < filled; ++i) to[p + i] = static_cast<Number>(integers[i]);
  }
  return (most > least ? most / 127 : 0.0f) + sum(none);
}

/// Where a tile of c goes, and how its sums become numbers.
struct Output {
  float* c;
  long c_row;
  const float* a_scale;  ///< of the tile's rows
  const float* b_scale;  ///< of its columns
  const std::int32_t* b_shift;
  const float* bias;  ///< of its columns, or null
  bool add;
  long width;  ///< columns that c has; at least 1
};

template <int rows>
PHONAUT_INLINE void write(const std::int32_t (*sums)[tile_sums * Sum::ints], const Output& out) {
  for (long j = 0; j < tile_columns && j < out.width; j += Vec::lanes) {
    const long n = out.width - j;
    const bool whole = n >= Vec::lanes;
    const Vec scale = Vec::load(out.b_scale + j);
    const Ints shift = offset != 0 ? Ints::load_unaligned(out.b_shift + j) : Ints(0);
    Vec bias(0.0f);
    if (out.bias) bias = whole ? Vec::load(out.bias + j) : Vec::load(out.bias + j, n);
    for (int i = 0; i < rows; ++i) {
      const Vec value =
          fma(xsimd::to_float(Ints::load_unaligned(sums[i] + j) + shift), Vec(out.a_scale[i]) * scale, bias);
      float* to = out.c + i * out.c_row + j;
      if (whole) put(to, value, out.add);
      else put(to, value, out.add, n);
    }
  }
}

/// `rows` rows of a, `a_row` numbers apart, against tile_columns rows of b.
template <int rows>
void tile(long quads, const Number* a, long a_row, const std::int8_t* b, const Output& out) {
  Sum acc[rows][tile_sums];
#pragma GCC unroll 16
  for (int i = 0; i < rows; ++i)
#pragma GCC unroll 4
    for (int s = 0; s < tile_sums; ++s) acc[i][s] = no_sum();
  // Every third row has a pointer: more would not fit into the general registers.
  constexpr int pointers = (rows + 2) / 3;
  const Number* row[pointers];
#pragma GCC unroll 16
  for (int i = 0; i < pointers; ++i) row[i] = a + 3L * i * a_row;
  for (long p = 0; p < quads; ++p) {
    Weights weights[tile_sums];
#pragma GCC unroll 4
    for (int s = 0; s < tile_sums; ++s) weights[s] = load(b + s * sum_columns * quad);
#pragma GCC unroll 16
    for (int i = 0; i < rows; ++i) {
      const Quad four = spread(row[i / 3] + (i % 3) * a_row);
#pragma GCC unroll 4
      for (int s = 0; s < tile_sums; ++s) acc[i][s] = multiply_add(four, weights[s], acc[i][s]);
    }
#pragma GCC unroll 16
    for (int i = 0; i < pointers; ++i) row[i] += quad;
    b += byte_columns * quad;
  }
  // Unrolled like the loops above: a sum whose place is not known to the compiler would not stay in a register.
  alignas(64) std::int32_t parts[rows][tile_sums * Sum::ints];
#pragma GCC unroll 16
  for (int i = 0; i < rows; ++i)
#pragma GCC unroll 4
    for (int s = 0; s < tile_sums; ++s) store(acc[i][s], parts[i] + s * Sum::ints);
  if constexpr (sums_per_column == 2)
    for (int i = 0; i < rows; ++i)
      for (long j = 0; j < tile_columns; ++j) parts[i][j] = parts[i][2 * j] + parts[i][2 * j + 1];
  write<rows>(parts, out);
}

using Tile = void (*)(long, const Number*, long, const std::int8_t*, const Output&);
struct TileTable {
  Tile entry[tile_rows];
};
template <int rows = 1>
PHONAUT_INLINE constexpr void fill(TileTable& table) {
  table.entry[rows - 1] = tile<rows>;
  if constexpr (rows < tile_rows) fill<rows + 1>(table);
}
constexpr TileTable make_tiles() {
  TileTable table{};
  fill(table);
  return table;
}
constexpr TileTable tiles = make_tiles();

// A task's rows of a (12 x 8 rows of 1536 numbers: 144 KiB as bytes) and of b stay in L2; a is scaled so many rows at a
// time, which bounds the memory for it.
constexpr long task_rows = 8L * tile_rows, task_columns = 4 * byte_columns, rows_at_once = 8 * task_rows;
// A second thread costs a few microseconds.
constexpr double products_per_thread = 4e6;

PHONAUT_INLINE long min(long a, long b) { return a < b ? a : b; }

}  // namespace

void multiply_bytes(const Cpu& cpu, const Gemm<float>& g, const PackedBytes& b) {
  if (g.m <= 0 || g.n <= 0) return;
  const long quads = PackedBytes::quads_of(g.k), a_row = quads * quad;
  const long held = min(g.m, rows_at_once);
  constexpr long per_float = static_cast<long>(sizeof(float) / sizeof(Number));
  float* const a_scale = scratch(Scratch::gemm, blocks_of(held, Vec::lanes) * Vec::lanes + held * a_row / per_float);
  auto* const bytes = reinterpret_cast<Number*>(a_scale + blocks_of(held, Vec::lanes) * Vec::lanes);
  for (long q = 0; q < g.batch; ++q)
    for (long first = 0; first < g.m; first += rows_at_once) {
      const long rows = min(rows_at_once, g.m - first);
      const double products = static_cast<double>(rows * g.n) * static_cast<double>(g.k);
      long threads = static_cast<long>(products / products_per_thread);
      threads = threads < 1 ? 1 : min(threads, cpu.threads);
      const float* a = g.a + q * g.a_batch + first * g.a_row;
      float* c = g.c + q * g.c_batch + first * g.c_row;
      parallel_rows(threads, rows, g.k, [&](long begin, long end) {
        for (long i = begin; i < end; ++i) a_scale[i] = to_bytes(a + i * g.a_row, g.k, bytes + i * a_row);
      });
      const long row_tasks = blocks_of(rows, task_rows), column_tasks = blocks_of(g.n, task_columns);
      parallel_for(threads, row_tasks * column_tasks, [&](long task) {
        const long column = task / row_tasks * task_columns, column_end = min(g.n, column + task_columns);
        const long row0 = task % row_tasks * task_rows;
        const EvenBlocks panels(min(rows - row0, task_rows), tile_rows);
        for (long j = column; j < column_end; j += byte_columns)
          for (long i = 0; i < panels.count; ++i) {
            const long row = row0 + panels.begin(i);
            const Tile run = tiles.entry[panels.begin(i + 1) - panels.begin(i) - 1];
            for (long at = j; at < min(column_end, j + byte_columns); at += tile_columns)
              run(quads, bytes + row * a_row, a_row, b.quads + j * a_row + (at - j) * quad,
                  {c + row * g.c_row + at, g.c_row, a_scale + row, b.scale + at, b.shift + at,
                   g.bias ? g.bias + at : nullptr, g.add, g.n - at});
          }
        activate(g.activation, c + row0 * g.c_row + column, g.c_row, panels.n, column_end - column);
      });
    }
}

}  // namespace phonaut::kernel::PHONAUT_ISA
#endif

PHONAUT_DISPATCH_BYTES(multiply_bytes, (const Cpu& cpu, const Gemm<float>& g, const PackedBytes& b), (cpu, g, b))
