#include "phonaut/ops/row_blocks.hpp"
#include "rows.hpp"
#include "simd_math.hpp"

#ifdef PHONAUT_ISA
namespace phonaut::kernel::PHONAUT_ISA {

void snake_forward(const Cpu& cpu, View<const float, 2> x, const float* alpha, double epsilon, View<float, 2> y) {
  const long width = x.shape[1];
  const Vec eps(epsilon);
  parallel_rows(cpu.threads, x.shape[0], width, [&](long first, long last) {
    for (long r = first; r < last; ++r)
      along(width, [&](long i, auto n) PHONAUT_FORCE_INLINE {
        const Vec a = load(alpha + i, n), v = load(x.row(r) + i, n), s = sin(a * v);
        store(y.row(r) + i, v + s * s / (a + eps), n);
      });
  });
}

void snake_backward(const Cpu& cpu, View<const float, 2> dy, View<const float, 2> x, const float* alpha, double epsilon,
                    Sink<float, 2> dx, Sink<float, 1> dalpha, View<float, 2> partial) {
  const long rows = x.shape[0], width = x.shape[1];
  const Vec eps(epsilon), one(1.0f);
  parallel_for(cpu.threads, row_blocks(rows), [&](long block) {
    const long first = block * rows_per_block;
    const long last = first + rows_per_block < rows ? first + rows_per_block : rows;
    float* const own = partial ? partial.row(block) : nullptr;
    for (long r = first; r < last; ++r)
      along(width, [&](long i, auto n) PHONAUT_FORCE_INLINE {
        const Vec a = load(alpha + i, n), v = load(x.row(r) + i, n), g = load(dy.row(r) + i, n);
        const Vec q = one / (a + eps);
        const SinCos u = sincos(a * v);
        const Vec half = u.sin * u.cos, twice = half + half;
        if (dx) put(dx.row(r) + i, g * fma(a * q, twice, one), dx.add, n);
        if (own) put(own + i, q * g * fma(v, twice, -(q * u.sin * u.sin)), r != first, n);
      });
  });
  add_up_blocks(partial, 0, dalpha);
}

}  // namespace phonaut::kernel::PHONAUT_ISA
#else
#include "phonaut/ops/snake.hpp"
#endif

PHONAUT_DISPATCH(snake_forward,
                 (const Cpu& cpu, View<const float, 2> x, const float* alpha, double epsilon, View<float, 2> y),
                 (cpu, x, alpha, epsilon, y))
PHONAUT_DISPATCH(snake_backward,
                 (const Cpu& cpu, View<const float, 2> dy, View<const float, 2> x, const float* alpha, double epsilon,
                  Sink<float, 2> dx, Sink<float, 1> dalpha, View<float, 2> partial),
                 (cpu, dy, x, alpha, epsilon, dx, dalpha, partial))
