#include "rows.hpp"

#ifdef PHONAUT_ISA
#include "phonaut/ops/utterance_products.hpp"

namespace phonaut::kernel::PHONAUT_ISA {

void clear_beyond_limits(const Cpu& cpu, const UtteranceProducts<float>& p) {
  const Gemm<float>& full = p.first;
  const long threads = p.utterances * full.batch * full.m * full.n < 2 * elements_per_block ? 1 : cpu.threads;
  parallel_for(threads, p.utterances * full.batch, [&](long matrix) {
    const Gemm<float> g = p.of(matrix / full.batch);
    float* const c = g.c + matrix % full.batch * g.c_batch;
    for (long i = g.n < full.n ? 0 : g.m; i < full.m; ++i) {
      const long kept = i < g.m ? g.n : 0;
      fill(c + i * g.c_row + kept, full.n - kept, 0.0f);
    }
  });
}

}  // namespace phonaut::kernel::PHONAUT_ISA
#else
#include "phonaut/ops/utterance_products.hpp"
#endif

PHONAUT_DISPATCH(clear_beyond_limits, (const Cpu& cpu, const UtteranceProducts<float>& p), (cpu, p))
