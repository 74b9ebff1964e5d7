#include "phonaut/ops/gemm.hpp"

#include "parallel.hpp"
#include "vec.hpp"

#ifdef PHONAUT_ISA
namespace phonaut::kernel::PHONAUT_ISA {
void gemm(const Cpu&, const Gemm<float>& g) {
  for (long q = 0; q < g.batch; ++q)
    for (long i = 0; i < g.m; ++i)
      for (long j = 0; j < g.n; ++j) {
        float total = g.bias ? g.bias[j] : 0.0f;
        const float* a = g.a + q * g.a_batch + i * g.a_row;
        const float* b = g.b + q * g.b_batch + j * g.b_col;
        for (long p = 0; p < g.k; ++p) total += a[p * g.a_col] * b[p * g.b_row];
        float& c = g.c[q * g.c_batch + i * g.c_row + j];
        c = g.add ? c + total : total;
      }
}
}  // namespace phonaut::kernel::PHONAUT_ISA
#endif

PHONAUT_DISPATCH(gemm, (const Cpu& cpu, const Gemm<float>& g), (cpu, g))
