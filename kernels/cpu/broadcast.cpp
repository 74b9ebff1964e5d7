#include "rows.hpp"

#ifdef PHONAUT_ISA
namespace phonaut::kernel::PHONAUT_ISA {

void add_columns(const Cpu& cpu, View<const float, 2> x, const float* b, View<float, 2> y) {
  parallel_rows(cpu.threads, x.shape[0], x.shape[1], [&](long first, long last) {
    for (long r = first; r < last; ++r)
      along(x.shape[1], [&](long i, auto n)
                            PHONAUT_FORCE_INLINE { store(y.row(r) + i, load(x.row(r) + i, n) + load(b + i, n), n); });
  });
}

void scale_columns(const Cpu& cpu, View<const float, 2> x, const float* g, Sink<float, 2> y) {
  parallel_rows(cpu.threads, x.shape[0], x.shape[1], [&](long first, long last) {
    for (long r = first; r < last; ++r)
      along(x.shape[1], [&](long i, auto n) PHONAUT_FORCE_INLINE {
        put(y.row(r) + i, load(x.row(r) + i, n) * load(g + i, n), y.add, n);
      });
  });
}

// One register of columns goes down all rows on one thread; blocks of rows keep the chains of roundings short.
void column_dot(const Cpu& cpu, View<const float, 2> x, View<const float, 2> z, Sink<float, 1> y) {
  constexpr long block = 256;
  const long rows = x.shape[0], width = x.shape[1];
  const auto strip = [&](long i, auto n) PHONAUT_FORCE_INLINE {
    Vec total(0.0f);
    for (long begin = 0; begin < rows; begin += block) {
      Vec part(0.0f);
      for (long r = begin; r < rows && r < begin + block; ++r)
        part = fma(load(x.row(r) + i, n), load(z.row(r) + i, n), part);
      total += part;
    }
    put(y.data + i, total, y.add, n);
  };
  const long threads = rows * width < 2 * elements_per_block ? 1 : cpu.threads;
  parallel_for(threads, blocks_of(width, Vec::lanes), [&](long at) {
    const long i = at * Vec::lanes;
    if (i + Vec::lanes <= width) strip(i, Whole{});
    else strip(i, width - i);
  });
}

}  // namespace phonaut::kernel::PHONAUT_ISA
#else
#include "phonaut/ops/broadcast.hpp"
#endif

PHONAUT_DISPATCH(add_columns, (const Cpu& cpu, View<const float, 2> x, const float* b, View<float, 2> y),
                 (cpu, x, b, y))
PHONAUT_DISPATCH(scale_columns, (const Cpu& cpu, View<const float, 2> x, const float* g, Sink<float, 2> y),
                 (cpu, x, g, y))
PHONAUT_DISPATCH(column_dot, (const Cpu& cpu, View<const float, 2> x, View<const float, 2> z, Sink<float, 1> y),
                 (cpu, x, z, y))
