#pragma once
// Threads inside a kernel. Work is cut into blocks whose size does not depend on the number of threads; a kernel that
// reduces writes one partial result per block and adds them in block order. Then 1, 2 and n threads give equal bits.
#include "isa.hpp"

namespace phonaut::kernel {

/// Calls `call(state, first, last)` for ranges that cover [0, blocks) once, on the calling thread and on at most
/// `threads - 1` others: those of the process's pool (src/cpu/thread_pool.cpp) that have time. Returns when all calls
/// have. Within a call, a further run_blocks stays on its thread. `call` must not throw.
void run_blocks(long threads, long blocks, void (*call)(const void* state, long first, long last),
                const void* state) noexcept;

}  // namespace phonaut::kernel

#ifdef PHONAUT_ISA
namespace phonaut::kernel::PHONAUT_ISA {

/// Calls `run(block)` for each block of [0, blocks), in no order. `run` must not throw.
template <class F>
PHONAUT_INLINE void parallel_for(long threads, long blocks, const F& run) {
  if (threads > 1 && blocks > 1) {
    run_blocks(
        threads, blocks,
        [](const void* state, long first, long last) {
          for (long block = first; block < last; ++block) (*static_cast<const F*>(state))(block);
        },
        &run);
    return;
  }
  for (long block = 0; block < blocks; ++block) run(block);
}

/// Calls `run(t)` once for each t of [0, threads), at most so many at a time: for kernels that keep working memory per
/// t. Any thread may come to run any t, and one thread several.
template <class F>
PHONAUT_INLINE void parallel_threads(long threads, const F& run) {
  parallel_for(threads, threads, run);
}

PHONAUT_INLINE constexpr long blocks_of(long n, long block) { return (n + block - 1) / block; }

/// n things in as few blocks as a limit allows, as equal as possible.
struct EvenBlocks {
  long n, count;
  PHONAUT_INLINE EvenBlocks(long n_, long limit) : n(n_), count(blocks_of(n_, limit)) {}
  PHONAUT_INLINE long begin(long i) const { return n * i / count; }
};

/// Elements per block of a memory-bound kernel: 64 KiB of floats, half of an L2's share, large against the 1 us that
/// sharing work with another thread costs.
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
