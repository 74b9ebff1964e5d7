#include "rows.hpp"
#include "simd_math.hpp"

#ifdef PHONAUT_ISA
namespace phonaut::kernel::PHONAUT_ISA {

void glu_forward(const Cpu& cpu, View<const float, 2> x, View<float, 2> y) {
  const long width = y.shape[1];
  parallel_rows(cpu.threads, y.shape[0], x.shape[1], [&](long first, long last) {
    for (long r = first; r < last; ++r) {
      const float *a = x.row(r), *b = a + width;
      // The next row is asked for meanwhile: two halves that end soon are too short for the machine to see a stream.
      const float *const next_a = a + x.stride[0], *const next_b = b + x.stride[0];
      along(width, [&](long i, auto n) PHONAUT_FORCE_INLINE {
        __builtin_prefetch(next_a + i);
        __builtin_prefetch(next_b + i);
        store(y.row(r) + i, load(a + i, n) * sigmoid(load(b + i, n)), n);
      });
    }
  });
}

void glu_backward(const Cpu& cpu, View<const float, 2> dy, View<const float, 2> x, Sink<float, 2> dx) {
  const long width = dy.shape[1];
  parallel_rows(cpu.threads, dy.shape[0], x.shape[1], [&](long first, long last) {
    for (long r = first; r < last; ++r) {
      const float *a = x.row(r), *b = a + width;
      float *da = dx.row(r), *db = da + width;
      const float *const next_a = a + x.stride[0], *const next_b = b + x.stride[0],
                         *const next_dy = dy.row(r) + dy.stride[0];
      along(width, [&](long i, auto n) PHONAUT_FORCE_INLINE {
        __builtin_prefetch(next_a + i);
        __builtin_prefetch(next_b + i);
        __builtin_prefetch(next_dy + i);
        const Vec s = sigmoid(load(b + i, n)), g = load(dy.row(r) + i, n) * s;
        put(da + i, g, dx.add, n);
        put(db + i, g * load(a + i, n) * (Vec(1.0f) - s), dx.add, n);
      });
    }
  });
}

}  // namespace phonaut::kernel::PHONAUT_ISA
#else
#include "phonaut/ops/glu.hpp"
#endif

PHONAUT_DISPATCH(glu_forward, (const Cpu& cpu, View<const float, 2> x, View<float, 2> y), (cpu, x, y))
PHONAUT_DISPATCH(glu_backward, (const Cpu& cpu, View<const float, 2> dy, View<const float, 2> x, Sink<float, 2> dx),
                 (cpu, dy, x, dx))
