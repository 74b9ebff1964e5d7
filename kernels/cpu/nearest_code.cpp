#include <cstdint>

#include "parallel.hpp"
#include "partial.hpp"
#include "scratch.hpp"
#include "simd_math.hpp"

// A matrix product whose tile is never stored. Lanes are frames: rows of x, packed a few registers at a time. Entries
// of the table are read where they lie; as a tile of them passes by, each lane keeps its best score and whose it was.
// So nothing is done to the table but to take its norms, which matters where a second of speech has 75 frames for a
// thousand entries, and no lane has to be compared with another one.

#ifdef PHONAUT_ISA
#include "gemm_pack.hpp"
#include "gemm_tile.hpp"

namespace phonaut::kernel::PHONAUT_ISA {

namespace {

static_assert(tile_rows <= 16, "nearest_code_scratch leaves room for a tile");

/// Frames that a task holds packed: they stay in L2 while the table passes by once.
constexpr long floats_per_task = 96 << 10, registers_per_task = 8;

/// -|entry|² / 2 for the entries of one register, from index `first` on; minus infinity behind the last one.
PHONAUT_INLINE void start_scores(View<const float, 2> table, long first, float* start) {
  constexpr long run = additions_in_float * Vec::lanes;
  const long entries = table.shape[0], dims = table.shape[1];
  double square[Vec::lanes] = {};
  for (long begin = 0; begin < dims; begin += run) {
    Vec part[Vec::lanes];
    for (long i = 0; i < Vec::lanes; ++i) {
      part[i] = Vec(0.0f);
      if (first + i >= entries) continue;
      each_register(dims - begin < run ? dims - begin : run, [&](long d, long n) PHONAUT_FORCE_INLINE {
        const Vec v = load_some(table.row(first + i) + begin + d, n);
        part[i] = fma(v, v, part[i]);
      });
    }
    transpose(part);
#pragma GCC unroll 4
    for (long half = Vec::lanes / 2; half > 0; half /= 2)
      for (long i = 0; i < half; ++i) part[i] += part[i + half];
    add_lanes(part[0], square, Vec::lanes);
  }
  for (long i = 0; i < Vec::lanes; ++i)
    start[i] = first + i < entries ? static_cast<float>(-0.5 * square[i]) : -__builtin_inff();
}

PHONAUT_INLINE Vec bits_as_lanes(long number) { return float_of_bits(Ints(static_cast<std::int32_t>(number))); }

/// <x, entry> - |entry|² / 2 of tile_rows entries, from number `first` on, for `registers` registers of packed frames.
/// `best` has the largest score so far of each frame, then the number of its entry (its bits).
template <int registers>
[[gnu::noinline]] void search_tile(long dims, const float* entries, long step, const float* start, long first,
                                   const float* frames, float* best) {
  Vec score[tile_rows][registers];
#pragma GCC unroll 16
  for (int i = 0; i < tile_rows; ++i)
#pragma GCC unroll 4
    for (int r = 0; r < registers; ++r) score[i][r] = Vec(start[i]);
  add_to_tile<tile_rows, registers>(dims, entries, step, 1, frames, registers * Vec::lanes, score);
  Vec most[registers], whose[registers];
#pragma GCC unroll 4
  for (int r = 0; r < registers; ++r) {
    most[r] = Vec::load(best + r * Vec::lanes);
    whose[r] = Vec::load(best + (registers + r) * Vec::lanes);
  }
  // Two entries against each other, then against the best: half as many steps that wait for the one before. Strictly
  // greater, so that the first of equals stays.
#pragma GCC unroll 8
  for (int i = 0; i < tile_rows; i += 2) {
    const Vec number = bits_as_lanes(first + i), next = bits_as_lanes(first + i + 1);
#pragma GCC unroll 4
    for (int r = 0; r < registers; ++r) {
      const Mask second = score[i][r] < score[i + 1][r];
      const Vec larger = select(second, score[i + 1][r], score[i][r]);
      const Mask better = most[r] < larger;
      most[r] = select(better, larger, most[r]);
      whose[r] = select(better, select(second, next, number), whose[r]);
    }
  }
#pragma GCC unroll 4
  for (int r = 0; r < registers; ++r) {
    most[r].store(best + r * Vec::lanes);
    whose[r].store(best + (registers + r) * Vec::lanes);
  }
}
static_assert(tile_rows % 2 == 0);

/// Whether rows that far apart fall into so few sets of the cache that a tile of them evicts itself.
PHONAUT_INLINE bool crowds_cache(long row) { return row % 1024 == 0; }

}  // namespace

void nearest_code(const Cpu& cpu, View<const float, 2> x, View<const float, 2> table, float* start,
                  std::int32_t* code) {
  const long rows = x.shape[0], entries = table.shape[0], dims = table.shape[1];
  if (rows <= 0) return;
  const long tiles = blocks_of(entries, tile_rows);
  parallel_for(cpu.threads, blocks_of(tiles * tile_rows, Vec::lanes), [&](long block) {
    alignas(64) float own[Vec::lanes];
    start_scores(table, block * Vec::lanes, own);
    for (long i = 0; i < Vec::lanes && block * Vec::lanes + i < tiles * tile_rows; ++i)
      start[block * Vec::lanes + i] = own[i];
  });

  // Registers of frames, cut into tasks that fit L2 and occupy all threads.
  const long registers = blocks_of(rows, Vec::lanes);
  long most = floats_per_task / (dims * Vec::lanes + 1);
  most = most < tile_registers ? tile_registers : most > registers_per_task ? registers_per_task : most;
  const long shared = blocks_of(registers, cpu.threads);
  const EvenBlocks tasks(registers, shared < most ? shared : most);
  const long threads = cpu.threads < tasks.count ? cpu.threads : tasks.count;
  const long panel_floats = most * Vec::lanes * dims, best_floats = most * Vec::lanes * 2;
  const long tile_step = dims + Vec::lanes, room = panel_floats + best_floats + tile_rows * tile_step;
  const long aligned_room = blocks_of(room, 16) * 16;
  float* const memory = scratch(Scratch::kernel, threads * aligned_room);

  parallel_threads(threads, [&](long t) {
    float *const panels = memory + t * aligned_room, *const best = panels + panel_floats,
                 *const tile = best + best_floats;
    for (long task = t; task < tasks.count; task += threads) {
      const long first = tasks.begin(task), own = tasks.begin(task + 1) - first;
      for (long r = 0; r < own; r += tile_registers) {
        const long row = (first + r) * Vec::lanes, width = own - r < tile_registers ? own - r : tile_registers;
        const long real = rows - row < width * Vec::lanes ? rows - row : width * Vec::lanes;
        pack_sliver<false>(dims, real, x.row(row), 1, x.stride[0], panels + r * Vec::lanes * dims);
        for (long i = 0; i < width; ++i) {
          Vec(-__builtin_inff()).store(best + (2 * r + i) * Vec::lanes);
          bits_as_lanes(0).store(best + (2 * r + width + i) * Vec::lanes);
        }
      }
      for (long j = 0; j < entries; j += tile_rows) {
        const float* from = table.row(j);
        long step = table.stride[0];
        if (entries - j < tile_rows || crowds_cache(step)) {
          for (long i = 0; i < tile_rows; ++i) {
            if (j + i < entries) copy(table.row(j + i), dims, tile + i * tile_step);
            else
              for (long d = 0; d < dims; ++d) tile[i * tile_step + d] = 0.0f;
          }
          from = tile, step = tile_step;
        }
        long r = 0;
        for (; r + tile_registers <= own; r += tile_registers)
          search_tile<tile_registers>(dims, from, step, start + j, j, panels + r * Vec::lanes * dims,
                                      best + 2 * r * Vec::lanes);
        if (r < own)
          search_tile<1>(dims, from, step, start + j, j, panels + r * Vec::lanes * dims, best + 2 * r * Vec::lanes);
      }
      for (long r = 0; r < own; r += tile_registers) {
        const long width = own - r < tile_registers ? own - r : tile_registers;
        for (long i = 0; i < width; ++i) {
          const long row = (first + r + i) * Vec::lanes, n = rows - row < Vec::lanes ? rows - row : Vec::lanes;
          const Ints whose = bits_of(Vec::load(best + (2 * r + width + i) * Vec::lanes));
          alignas(64) std::int32_t lane[Vec::lanes];
          whose.store_aligned(lane);
          for (long l = 0; l < n; ++l) code[row + l] = lane[l];
        }
      }
    }
  });
}

}  // namespace phonaut::kernel::PHONAUT_ISA
#else
#include "phonaut/ops/nearest_code.hpp"
#endif

PHONAUT_DISPATCH(nearest_code,
                 (const Cpu& cpu, View<const float, 2> x, View<const float, 2> table, float* scratch,
                  std::int32_t* code),
                 (cpu, x, table, scratch, code))
