#pragma once
// Threads inside a kernel. Work is cut into blocks whose size does not depend on the number of threads; a kernel that
// reduces writes one partial result per block and adds them in block order. Then 1, 2 and n threads give equal bits.
#include "isa.hpp"

#ifdef PHONAUT_ISA
namespace phonaut::kernel::PHONAUT_ISA {

/// Calls `run(block)` for each block of [0, blocks). One thread never enters OpenMP: the thread sanitizer cannot look
/// into libgomp, and a call into it costs more than a small kernel. `run` must not throw.
template <class F>
PHONAUT_INLINE void parallel_for(long threads, long blocks, const F& run) {
  if (threads > blocks) threads = blocks;
#ifdef _OPENMP
  if (threads > 1) {
#pragma omp parallel for num_threads(static_cast <int>(threads)) schedule(static)
    for (long block = 0; block < blocks; ++block) run(block);
    return;
  }
#endif
  for (long block = 0; block < blocks; ++block) run(block);
}

/// Calls `run(t)` once for each t of [0, threads), each on a thread of its own where OpenMP has that many.
template <class F>
PHONAUT_INLINE void parallel_threads(long threads, const F& run) {
#ifdef _OPENMP
  if (threads > 1) {
#pragma omp parallel for num_threads(static_cast <int>(threads)) schedule(static, 1)
    for (long t = 0; t < threads; ++t) run(t);
    return;
  }
#endif
  for (long t = 0; t < threads; ++t) run(t);
}

PHONAUT_INLINE constexpr long blocks_of(long n, long block) { return (n + block - 1) / block; }

/// n things in as few blocks as a limit allows, as equal as possible.
struct EvenBlocks {
  long n, count;
  PHONAUT_INLINE EvenBlocks(long n_, long limit) : n(n_), count(blocks_of(n_, limit)) {}
  PHONAUT_INLINE long begin(long i) const { return n * i / count; }
};

/// Elements per block of a memory-bound kernel: 64 KiB of floats, half of an L2's share, large against the 1 us that
/// waking a thread costs.
constexpr long elements_per_block = 16384;

/// Calls `run(first, last)` for ranges of rows of about `elements_per_block` elements each.
template <class F>
PHONAUT_INLINE void parallel_rows(long threads, long rows, long width, const F& run) {
  const long per_block = width >= elements_per_block ? 1 : elements_per_block / (width > 0 ? width : 1);
  parallel_for(threads, blocks_of(rows, per_block), [&](long block) {
    const long first = block * per_block;
    run(first, first + per_block < rows ? first + per_block : rows);
  });
}

}  // namespace phonaut::kernel::PHONAUT_ISA
#endif
