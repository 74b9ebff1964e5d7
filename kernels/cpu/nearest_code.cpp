#include <cstdint>

#include "parallel.hpp"
#include "partial.hpp"

// A matrix product whose tile is never stored: while a panel of codes passes by, each row keeps its best score so far,
// lane by lane. Lanes are codes.

#ifdef PHONAUT_ISA
namespace phonaut::kernel::PHONAUT_ISA {

constexpr long panel_registers = 2;
constexpr long panel_codes = panel_registers * Vec::lanes;
/// Accumulators for 8 rows fill half of the 32 registers of AVX-512; others have 16.
constexpr long tile_rows = Vec::lanes == 16 ? 8 : 4;
constexpr long rows_per_task = 64;

struct Best {
  Vec score, index;
};

/// panels[p][d][lane] = table[p * panel_codes + lane][d]; half[j] = |table[j]|² / 2, infinity behind the last code.
PHONAUT_INLINE void pack_panels(const Cpu& cpu, View<const float, 2> table, float* panels, float* half) {
  const long entries = table.shape[0], dims = table.shape[1];
  parallel_for(cpu.threads, blocks_of(entries, panel_codes), [&](long p) {
    float* panel = panels + p * panel_codes * dims;
    for (long i = 0; i < panel_codes; ++i) {
      const long j = p * panel_codes + i;
      double square = 0;
      for (long d = 0; d < dims; ++d) {
        const float v = j < entries ? table.row(j)[d] : 0.0f;
        panel[d * panel_codes + i] = v;
        square += static_cast<double>(v) * static_cast<double>(v);
      }
      half[j] = j < entries ? static_cast<float>(0.5 * square) : __builtin_inff();
    }
  });
}

template <long Rows>
PHONAUT_INLINE void search(View<const float, 2> x, long first, const float* panels, const float* half, long entries,
                           std::int32_t* code) {
  const long dims = x.shape[1];
  alignas(64) float lane[Vec::lanes], index[Vec::lanes];
  for (long i = 0; i < Vec::lanes; ++i) index[i] = static_cast<float>(i);
  const Vec lanes = Vec::load(index);
  const float* row[Rows];
  Best best[Rows];
  for (long r = 0; r < Rows; ++r) {
    row[r] = x.row(first + r);
    best[r] = {Vec(__builtin_inff()), Vec(0.0f)};
  }
  for (long p = 0; p * panel_codes < entries; ++p) {
    const float* panel = panels + p * panel_codes * dims;
    Vec score[Rows][panel_registers];
    for (long r = 0; r < Rows; ++r)
      for (long v = 0; v < panel_registers; ++v) score[r][v] = Vec::load(half + p * panel_codes + v * Vec::lanes);
    for (long d = 0; d < dims; ++d) {
      Vec codes[panel_registers];
      for (long v = 0; v < panel_registers; ++v) codes[v] = Vec::load(panel + d * panel_codes + v * Vec::lanes);
      for (long r = 0; r < Rows; ++r) {
        const Vec at(row[r][d]);
        for (long v = 0; v < panel_registers; ++v) score[r][v] = fnma(at, codes[v], score[r][v]);
      }
    }
    for (long v = 0; v < panel_registers; ++v) {
      const Vec number = lanes + Vec(static_cast<float>(p * panel_codes + v * Vec::lanes));
      for (long r = 0; r < Rows; ++r) {
        const Mask better = score[r][v] < best[r].score;  // strictly: the first of equals stays
        best[r] = {select(better, score[r][v], best[r].score), select(better, number, best[r].index)};
      }
    }
  }
  for (long r = 0; r < Rows; ++r) {
    best[r].score.store(lane);
    best[r].index.store(index);
    long winner = 0;
    for (long i = 1; i < Vec::lanes; ++i)
      if (lane[i] < lane[winner] || (lane[i] == lane[winner] && index[i] < index[winner])) winner = i;
    code[first + r] = static_cast<std::int32_t>(index[winner]);
  }
}

void nearest_code(const Cpu& cpu, View<const float, 2> x, View<const float, 2> table, float* scratch,
                  std::int32_t* code) {
  const long rows = x.shape[0], entries = table.shape[0], dims = table.shape[1];
  const long padded = blocks_of(entries, panel_codes) * panel_codes;
  float *panels = scratch, *half = scratch + padded * dims;
  pack_panels(cpu, table, panels, half);
  parallel_for(cpu.threads, blocks_of(rows, rows_per_task), [&](long task) {
    long n = task * rows_per_task;
    const long end = n + rows_per_task < rows ? n + rows_per_task : rows;
    for (; n + tile_rows <= end; n += tile_rows) search<tile_rows>(x, n, panels, half, entries, code);
    for (; n < end; ++n) search<1>(x, n, panels, half, entries, code);
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
