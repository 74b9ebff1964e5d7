#include "phonaut/ops/column_sum.hpp"

#include "parallel.hpp"
#include "vec.hpp"

#ifdef PHONAUT_ISA
namespace phonaut::kernel::PHONAUT_ISA {

// Columns are cut into strips, one cache line of sums each; a strip goes down all rows on one thread. Rows are summed
// in blocks of 256 that are added in order: the rounding error then grows with the number of blocks, not of rows, and
// the result does not know how many threads there were.
void column_sum(const Cpu& cpu, View<const float, 2> x, Sink<float, 1> y) {
  if (!y) return;
  constexpr long rows_per_block = 256, registers = 64 / Vec::lanes > 4 ? 4 : 64 / Vec::lanes;
  constexpr long strip = registers * Vec::lanes;
  const long rows = x.shape[0], width = x.shape[1];
  const bool small = rows * width < 2 * elements_per_block;
  parallel_for(small ? 1 : cpu.threads, blocks_of(width, strip), [&](long block) {
    const long c = block * strip;
    if (c + strip <= width) {
      Vec total[registers], part[registers];
      for (long i = 0; i < registers; ++i) total[i] = Vec(0.0f);
      for (long begin = 0; begin < rows; begin += rows_per_block) {
        const long end = begin + rows_per_block < rows ? begin + rows_per_block : rows;
        for (long i = 0; i < registers; ++i) part[i] = Vec(0.0f);
        for (long r = begin; r < end; ++r)
          for (long i = 0; i < registers; ++i) part[i] += Vec::load(x.row(r) + c + i * Vec::lanes);
        for (long i = 0; i < registers; ++i) total[i] += part[i];
      }
      for (long i = 0; i < registers; ++i) put(y.data + c + i * Vec::lanes, total[i], y.add);
    } else {
      for (long i = c; i < width; i += Vec::lanes) {
        const long n = width - i < Vec::lanes ? width - i : Vec::lanes;
        Vec total(0.0f);
        for (long begin = 0; begin < rows; begin += rows_per_block) {
          const long end = begin + rows_per_block < rows ? begin + rows_per_block : rows;
          Vec part(0.0f);
          if (n == Vec::lanes)
            for (long r = begin; r < end; ++r) part += Vec::load(x.row(r) + i);
          else
            for (long r = begin; r < end; ++r) part += Vec::load(x.row(r) + i, n);
          total += part;
        }
        if (n == Vec::lanes) put(y.data + i, total, y.add);
        else put(y.data + i, total, y.add, n);
      }
    }
  });
}

}  // namespace phonaut::kernel::PHONAUT_ISA
#endif

PHONAUT_DISPATCH(column_sum, (const Cpu& cpu, View<const float, 2> x, Sink<float, 1> y), (cpu, x, y))
