#include <cstdint>

#include "rows.hpp"

#ifdef PHONAUT_ISA
namespace phonaut::kernel::PHONAUT_ISA {

void subtract_entries(const Cpu& cpu, View<const float, 2> x, View<const float, 2> table, const std::int32_t* code,
                      View<float, 2> y) {
  parallel_rows(cpu.threads, y.shape[0], y.shape[1], [&](long first, long last) {
    for (long r = first; r < last; ++r) {
      const float *const from = x.row(r), *const entry = table.row(code[r]);
      float* const to = y.row(r);
      along(y.shape[1],
            [&](long d, auto n) PHONAUT_FORCE_INLINE { store(to + d, load(from + d, n) - load(entry + d, n), n); });
    }
  });
}

}  // namespace phonaut::kernel::PHONAUT_ISA
#else
#include "phonaut/quantizers/codes.hpp"
#endif

PHONAUT_DISPATCH(subtract_entries,
                 (const Cpu& cpu, View<const float, 2> x, View<const float, 2> table, const std::int32_t* code,
                  View<float, 2> y),
                 (cpu, x, table, code, y))
