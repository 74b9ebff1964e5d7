#pragma once
// Loops over all elements of a matrix of rows, register by register, over threads.
#include "parallel.hpp"
#include "vec.hpp"

#ifdef PHONAUT_ISA
namespace phonaut::kernel::PHONAUT_ISA {

/// Rows without gaps between them are one long row: one tail instead of many.
struct RowRange {
  long rows, width;
  template <class... Strides>
  PHONAUT_INLINE RowRange(const Shape<2>& shape, Strides... stride) : rows(shape[0]), width(shape[1]) {
    if (((stride == width) && ...)) width *= rows, rows = width > 0 ? 1 : 0;
  }
};

/// Calls `full(r, i)` for each whole register at (row r, column i), `partial(r, i, n)` for the n elements at the end of
/// a row. The lambdas need PHONAUT_FORCE_INLINE.
template <class Full, class Partial>
PHONAUT_INLINE void for_each_register(const Cpu& cpu, RowRange range, const Full& full, const Partial& partial) {
  const auto run = [&](long r, long begin, long end) PHONAUT_FORCE_INLINE {
    long i = begin;
    for (; i + Vec::lanes <= end; i += Vec::lanes) full(r, i);
    if (i < end) partial(r, i, end - i);
  };
  if (range.rows == 1) {
    parallel_for(cpu.threads, blocks_of(range.width, elements_per_block), [&](long block) {
      const long begin = block * elements_per_block, end = begin + elements_per_block;
      run(0, begin, end < range.width ? end : range.width);
    });
  } else {
    parallel_rows(cpu.threads, range.rows, range.width, [&](long first, long last) {
      for (long r = first; r < last; ++r) run(r, 0, range.width);
    });
  }
}

/// The same over a packed array: `full(i)` and `partial(i, n)`.
template <class Full, class Partial>
PHONAUT_INLINE void for_each_register(const Cpu& cpu, long size, const Full& full, const Partial& partial) {
  parallel_for(cpu.threads, blocks_of(size, elements_per_block), [&](long block) {
    long i = block * elements_per_block;
    const long end = i + elements_per_block < size ? i + elements_per_block : size;
    for (; i + Vec::lanes <= end; i += Vec::lanes) full(i);
    if (i < end) partial(i, end - i);
  });
}

}  // namespace phonaut::kernel::PHONAUT_ISA
#endif
