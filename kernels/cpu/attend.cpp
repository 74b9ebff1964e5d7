#include "rows.hpp"

#ifdef PHONAUT_ISA
namespace phonaut::kernel::PHONAUT_ISA {

void clear_unused_weights(const Cpu& cpu, View<float, 4> weights, long heads, const long* lengths) {
  const long all_heads = weights.shape[1], queries = weights.shape[2], keys = weights.shape[3];
  if (heads >= all_heads && !lengths) return;
  const long threads = weights.size() < 2 * elements_per_block ? 1 : cpu.threads;
  parallel_for(threads, weights.shape[0] * all_heads, [&](long matrix) {
    const long n = matrix / all_heads, h = matrix % all_heads;
    const long real = lengths && lengths[n] < keys ? lengths[n] : keys;
    const long used = h >= heads ? 0 : lengths && lengths[n] < queries ? lengths[n] : queries;
    float* to = &weights(n, h, 0, 0);
    if (real < keys)
      for (long t = 0; t < used; ++t) fill(to + t * keys + real, keys - real, 0.0f);
    fill(to + used * keys, (queries - used) * keys, 0.0f);
  });
}

}  // namespace phonaut::kernel::PHONAUT_ISA
#else
#include "phonaut/ops/attend.hpp"
#endif

PHONAUT_DISPATCH(clear_unused_weights, (const Cpu& cpu, View<float, 4> weights, long heads, const long* lengths),
                 (cpu, weights, heads, lengths))
