#include "parallel.hpp"
#include "partial.hpp"

#ifdef PHONAUT_ISA
namespace phonaut::kernel::PHONAUT_ISA {

// Lanes are columns.
void column_mean(const Cpu& cpu, View<const float, 2> x, float* mean) {
  const long rows = x.shape[0], columns = x.shape[1];
  parallel_for(cpu.threads, blocks_of(columns, Vec::lanes), [&](long block) {
    const long c = block * Vec::lanes, n = columns - c < Vec::lanes ? columns - c : Vec::lanes;
    double total[Vec::lanes] = {};
    for (long begin = 0; begin < rows; begin += additions_in_float) {
      const long end = begin + additions_in_float < rows ? begin + additions_in_float : rows;
      Vec part(0.0f);
      for (long r = begin; r < end; ++r) part += load_some(x.row(r) + c, n);
      add_lanes(part, total, Vec::lanes);
    }
    const double share = rows > 0 ? 1 / static_cast<double>(rows) : 0;
    for (long i = 0; i < n; ++i) mean[c + i] = static_cast<float>(share * total[i]);
  });
}

void subtract_columns(const Cpu& cpu, View<const float, 2> x, const float* mean, Sink<float, 2> y) {
  parallel_rows(cpu.threads, x.shape[0], x.shape[1], [&](long first, long last) {
    for (long r = first; r < last; ++r)
      each_register(x.shape[1], [&](long i, long n) PHONAUT_FORCE_INLINE {
        put_some(y.row(r) + i, load_some(x.row(r) + i, n) - load_some(mean + i, n), y.add, n);
      });
  });
}

}  // namespace phonaut::kernel::PHONAUT_ISA
#else
#include "phonaut/ops/centre_columns.hpp"
#endif

PHONAUT_DISPATCH(column_mean, (const Cpu& cpu, View<const float, 2> x, float* mean), (cpu, x, mean))
PHONAUT_DISPATCH(subtract_columns, (const Cpu& cpu, View<const float, 2> x, const float* mean, Sink<float, 2> y),
                 (cpu, x, mean, y))
