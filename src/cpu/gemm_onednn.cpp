// Matrix products by oneDNN (2.x and 3.x have the same sgemm).
#ifdef PHONAUT_ONEDNN
#include <omp.h>
#include <oneapi/dnnl/dnnl.h>

#include <algorithm>

#include "kernels/cpu/gemm.hpp"
#include "kernels/cpu/parallel.hpp"

namespace phonaut::kernel {

namespace {

// oneDNN cuts k by the number of threads where that pays, so that bits would depend on it. Each call therefore runs on
// one thread, over a block of rows whose size does not depend on the threads.
constexpr long rows_per_block = 252;

void multiply_block(const Gemm<float>& g, long q, long first, long rows) {
  float* c = g.c + q * g.c_batch + first * g.c_row;
  bool add = g.add;
  if (g.bias) {
    for (long i = 0; i < rows; ++i)
      for (long j = 0; j < g.n; ++j) c[i * g.c_row + j] = g.add ? c[i * g.c_row + j] + g.bias[j] : g.bias[j];
    add = true;
  }
  const bool a_rows = g.a_col == 1, b_rows = g.b_col == 1;
  dnnl_sgemm(a_rows ? 'N' : 'T', b_rows ? 'N' : 'T', rows, g.n, g.k, 1.0f, g.a + q * g.a_batch + first * g.a_row,
             a_rows ? g.a_row : g.a_col, g.b + q * g.b_batch, b_rows ? g.b_row : g.b_col, add ? 1.0f : 0.0f, c,
             g.c_row);
}

/// sgemm wants rows that do not overlap.
bool accepts(const Gemm<float>& g) {
  const long a_width = g.a_col == 1 ? g.k : g.m, b_width = g.b_col == 1 ? g.n : g.k;
  return g.m > 0 && g.n > 0 && g.k > 0 && (g.a_col == 1 ? g.a_row : g.a_col) >= a_width &&
         (g.b_col == 1 ? g.b_row : g.b_col) >= b_width && g.c_row >= g.n;
}

}  // namespace

void gemm_onednn(const Cpu& cpu, const Gemm<float>& g) {
  if (!accepts(g)) return gemm_own(cpu, g);
  const long per_matrix = (g.m + rows_per_block - 1) / rows_per_block, blocks = per_matrix * g.batch;
  const auto run = [&](long block) {
    const long first = block % per_matrix * rows_per_block;
    multiply_block(g, block / per_matrix, first, std::min(rows_per_block, g.m - first));
  };
  run_blocks(
      cpu.threads, blocks,
      [](const void* state, long begin, long end) {
        // oneDNN would open a parallel region of its own in each call.
        const int before = omp_get_max_threads();
        omp_set_num_threads(1);
        for (long block = begin; block < end; ++block) (*static_cast<const decltype(run)*>(state))(block);
        omp_set_num_threads(before);
      },
      &run);
}

}  // namespace phonaut::kernel
#endif
