#include "parallel.hpp"
#include "partial.hpp"

#ifdef PHONAUT_ISA
namespace phonaut::kernel::PHONAUT_ISA {

// Lanes are columns. Squares are summed over 64 rows in float, then in double.
void unit_columns(const Cpu& cpu, View<float, 2> a) {
  const long rows = a.shape[0], columns = a.shape[1];
  parallel_for(cpu.threads, blocks_of(columns, Vec::lanes), [&](long block) {
    const long m = block * Vec::lanes, n = columns - m < Vec::lanes ? columns - m : Vec::lanes;
    double square[Vec::lanes] = {};
    for (long begin = 0; begin < rows; begin += additions_in_float) {
      const long end = begin + additions_in_float < rows ? begin + additions_in_float : rows;
      Vec part(0.0f);
      for (long r = begin; r < end; ++r) {
        const Vec v = load_some(a.row(r) + m, n);
        part = fma(v, v, part);
      }
      add_lanes(part, square, Vec::lanes);
    }
    alignas(64) float lane[Vec::lanes];
    for (long i = 0; i < Vec::lanes; ++i)
      lane[i] = square[i] > 0 ? static_cast<float>(1 / __builtin_sqrt(square[i])) : 1.0f;
    const Vec inverse = Vec::load(lane);
    for (long r = 0; r < rows; ++r) {
      float* to = a.row(r) + m;
      store_some(load_some(to, n) * inverse, to, n);
    }
  });
}

}  // namespace phonaut::kernel::PHONAUT_ISA
#else
#include "phonaut/ops/unit_columns.hpp"
#endif

PHONAUT_DISPATCH(unit_columns, (const Cpu& cpu, View<float, 2> a), (cpu, a))
