#include "phonaut/ops/formula/gate.hpp"

#include "rows.hpp"
#include "simd_math.hpp"

#ifdef PHONAUT_ISA
namespace phonaut::kernel::PHONAUT_ISA {

namespace {

PHONAUT_INLINE void clear_row(float* p, long width) {
  along(width, [&](long i, auto n) PHONAUT_FORCE_INLINE { store(p + i, Vec(0.0f), n); });
}

/// Calls run(n, t, whether frame t of utterance n is below its length) for all frames, over threads.
template <class Run>
PHONAUT_INLINE void each_frame(const Cpu& cpu, const Shape<3>& x, const long* lengths, const Run& run) {
  parallel_rows(cpu.threads, x[0] * x[1], x[2], [&](long first, long last) PHONAUT_FORCE_INLINE {
    for (long row = first; row < last; ++row) {
      const long n = row / x[1], t = row - n * x[1];
      run(n, t, !lengths || t < lengths[n]);
    }
  });
}

template <class F>
PHONAUT_INLINE void gate_value(const Cpu& cpu, const F& f, const PartGate& part, View<const float, 3> x,
                               const long* lengths, View<float, 3> y) {
  const long width = y.shape[2];
  each_frame(cpu, x.shape, lengths, [&](long n, long t, bool real) PHONAUT_FORCE_INLINE {
    const float* from = x.data + n * x.stride[0] + t * x.stride[1];
    const float *value = from + part.value * width, *gate = from + part.gate * width;
    float* to = y.data + n * y.stride[0] + t * y.stride[1];
    if (!real) return clear_row(to, width);
    along(width, [&](long i, auto m)
                     PHONAUT_FORCE_INLINE { store(to + i, load(value + i, m) * f.value(load(gate + i, m)), m); });
  });
}

template <class F>
PHONAUT_INLINE void gate_slopes(const Cpu& cpu, const F& f, const PartGate& part, View<const float, 3> dy,
                                View<const float, 3> x, const long* lengths, Sink<float, 3> dx) {
  const long width = dy.shape[2];
  each_frame(cpu, dx.shape, lengths, [&](long n, long t, bool real) PHONAUT_FORCE_INLINE {
    const float* from = x.data + n * x.stride[0] + t * x.stride[1];
    const float *value = from + part.value * width, *gate = from + part.gate * width;
    const float* d = dy.data + n * dy.stride[0] + t * dy.stride[1];
    float* to = dx.data + n * dx.stride[0] + t * dx.stride[1];
    if (!dx.add)
      for (long p = 0; p < part.parts; ++p)
        if (!real || (p != part.value && p != part.gate)) clear_row(to + p * width, width);
    if (!real) return;
    float *dvalue = to + part.value * width, *dgate = to + part.gate * width;
    along(width, [&](long i, auto m) PHONAUT_FORCE_INLINE {
      const Vec open = f.value(load(gate + i, m)), g = load(d + i, m);
      const Vec slope = g * load(value + i, m) * f.slope_from_value(open);
      put(dvalue + i, g * open, dx.add, m);
      put(dgate + i, slope, dx.add, m);
    });
  });
}

}  // namespace

void multiply_part_forward(const Cpu& cpu, View<const float, 2> m, View<const float, 2> x, long value,
                           View<float, 2> y) {
  const long width = y.shape[1];
  parallel_rows(cpu.threads, y.shape[0], width, [&](long first, long last) PHONAUT_FORCE_INLINE {
    for (long r = first; r < last; ++r) {
      const float *a = m.row(r), *b = x.row(r) + value * width;
      along(width,
            [&](long i, auto n) PHONAUT_FORCE_INLINE { store(y.row(r) + i, load(a + i, n) * load(b + i, n), n); });
    }
  });
}

void multiply_part_backward(const Cpu& cpu, View<const float, 2> dy, View<const float, 2> m, View<const float, 2> x,
                            long value, Sink<float, 2> dm, Sink<float, 2> dx) {
  const long width = dy.shape[1];
  parallel_rows(cpu.threads, dy.shape[0], x.shape[1], [&](long first, long last) PHONAUT_FORCE_INLINE {
    for (long r = first; r < last; ++r) {
      const float *g = dy.row(r), *a = m.row(r), *b = x.row(r) + value * width;
      if (dm)
        along(width, [&](long i, auto n)
                         PHONAUT_FORCE_INLINE { put(dm.row(r) + i, load(g + i, n) * load(b + i, n), dm.add, n); });
      if (!dx) continue;
      float* to = dx.row(r) + value * width;
      if (!dx.add) {
        clear_row(dx.row(r), value * width);
        clear_row(to + width, dx.shape[1] - (value + 1) * width);
      }
      along(width,
            [&](long i, auto n) PHONAUT_FORCE_INLINE { put(to + i, load(g + i, n) * load(a + i, n), dx.add, n); });
    }
  });
}

}  // namespace phonaut::kernel::PHONAUT_ISA

#define PHONAUT_GATE(F)                                                                                             \
  namespace phonaut::kernel::PHONAUT_ISA {                                                                          \
  void gated_part_forward(const Cpu& cpu, formula::F f, PartGate part, View<const float, 3> x, const long* lengths, \
                          View<float, 3> y) {                                                                       \
    gate_value(cpu, f, part, x, lengths, y);                                                                        \
  }                                                                                                                 \
  void gated_part_backward(const Cpu& cpu, formula::F f, PartGate part, View<const float, 3> dy,                    \
                           View<const float, 3> x, const long* lengths, Sink<float, 3> dx) {                        \
    gate_slopes(cpu, f, part, dy, x, lengths, dx);                                                                  \
  }                                                                                                                 \
  }
#else
#include "phonaut/ops/gated_part.hpp"

#define PHONAUT_GATE(F)                                                                                              \
  PHONAUT_DISPATCH_IN(                                                                                               \
      phonaut::formula, gated_part_forward,                                                                          \
      (const Cpu& cpu, formula::F f, PartGate part, View<const float, 3> x, const long* lengths, View<float, 3> y),  \
      (cpu, f, part, x, lengths, y))                                                                                 \
  PHONAUT_DISPATCH_IN(phonaut::formula, gated_part_backward,                                                         \
                      (const Cpu& cpu, formula::F f, PartGate part, View<const float, 3> dy, View<const float, 3> x, \
                       const long* lengths, Sink<float, 3> dx),                                                      \
                      (cpu, f, part, dy, x, lengths, dx))
#endif

PHONAUT_GATE(SigmoidGate)
PHONAUT_GATE(TanhGate)
PHONAUT_DISPATCH(multiply_part_forward,
                 (const Cpu& cpu, View<const float, 2> m, View<const float, 2> x, long value, View<float, 2> y),
                 (cpu, m, x, value, y))
PHONAUT_DISPATCH(multiply_part_backward,
                 (const Cpu& cpu, View<const float, 2> dy, View<const float, 2> m, View<const float, 2> x, long value,
                  Sink<float, 2> dm, Sink<float, 2> dx),
                 (cpu, dy, m, x, value, dm, dx))
