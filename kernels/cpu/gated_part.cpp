#include "phonaut/ops/formula/gate.hpp"
#include "rows.hpp"
#include "simd_math.hpp"

#ifdef PHONAUT_ISA
namespace phonaut::kernel::PHONAUT_ISA {

namespace {

PHONAUT_INLINE bool real(const long* lengths, long row, long time) {
  return !lengths || row % time < lengths[row / time];
}

template <class F>
PHONAUT_INLINE void forward(const Cpu& cpu, F f, PartGate part, const View<const float, 3>& x, const long* lengths,
                            const View<float, 3>& y) {
  const long time = y.shape[1], width = y.shape[2];
  parallel_rows(cpu.threads, y.shape[0] * time, part.parts * width, [&](long first, long last) {
    for (long r = first; r < last; ++r) {
      const float* from = x.data + r / time * x.stride[0] + r % time * x.stride[1];
      const float *v = from + part.value * width, *g = from + part.gate * width;
      float* to = y.data + r / time * y.stride[0] + r % time * y.stride[1];
      if (real(lengths, r, time))
        along(width,
              [&](long c, auto n) PHONAUT_FORCE_INLINE { store(to + c, load(v + c, n) * f.value(load(g + c, n)), n); });
      else along(width, [&](long c, auto n) PHONAUT_FORCE_INLINE { store(to + c, Vec(0.0f), n); });
    }
  });
}

template <class F>
PHONAUT_INLINE void backward(const Cpu& cpu, F f, PartGate part, const View<const float, 3>& dy,
                             const View<const float, 3>& x, const long* lengths, const Sink<float, 3>& dx) {
  const long time = dx.shape[1], width = dy.shape[2], all = part.parts * width;
  parallel_rows(cpu.threads, dx.shape[0] * time, all, [&](long first, long last) {
    for (long r = first; r < last; ++r) {
      const float* from = x.data + r / time * x.stride[0] + r % time * x.stride[1];
      const float *v = from + part.value * width, *g = from + part.gate * width;
      const float* d = dy.data + r / time * dy.stride[0] + r % time * dy.stride[1];
      float* to = dx.data + r * all;
      const bool used = real(lengths, r, time);
      for (long p = 0; p < part.parts && !dx.add; ++p)
        if (!used || (p != part.value && p != part.gate))
          along(width, [&](long c, auto n) PHONAUT_FORCE_INLINE { store(to + p * width + c, Vec(0.0f), n); });
      if (!used) continue;
      float *dv = to + part.value * width, *dg = to + part.gate * width;
      along(width, [&](long c, auto n) PHONAUT_FORCE_INLINE {
        const Vec open = f.value(load(g + c, n)), dyc = load(d + c, n);
        put(dv + c, dyc * open, dx.add, n);
        put(dg + c, dyc * load(v + c, n) * f.slope_from_value(open), dx.add, n);
      });
    }
  });
}

}  // namespace

void gated_part_forward(const Cpu& cpu, formula::SigmoidGate f, PartGate part, View<const float, 3> x,
                        const long* lengths, View<float, 3> y) {
  forward(cpu, f, part, x, lengths, y);
}
void gated_part_forward(const Cpu& cpu, formula::TanhGate f, PartGate part, View<const float, 3> x, const long* lengths,
                        View<float, 3> y) {
  forward(cpu, f, part, x, lengths, y);
}
void gated_part_backward(const Cpu& cpu, formula::SigmoidGate f, PartGate part, View<const float, 3> dy,
                         View<const float, 3> x, const long* lengths, Sink<float, 3> dx) {
  backward(cpu, f, part, dy, x, lengths, dx);
}
void gated_part_backward(const Cpu& cpu, formula::TanhGate f, PartGate part, View<const float, 3> dy,
                         View<const float, 3> x, const long* lengths, Sink<float, 3> dx) {
  backward(cpu, f, part, dy, x, lengths, dx);
}

void multiply_part_forward(const Cpu& cpu, View<const float, 2> m, View<const float, 2> x, long value,
                           View<float, 2> y) {
  const long width = y.shape[1];
  parallel_rows(cpu.threads, y.shape[0], 3 * width, [&](long first, long last) {
    for (long r = first; r < last; ++r) {
      const float* part = x.row(r) + value * width;
      along(width, [&](long c, auto n)
                       PHONAUT_FORCE_INLINE { store(y.row(r) + c, load(m.row(r) + c, n) * load(part + c, n), n); });
    }
  });
}

void multiply_part_backward(const Cpu& cpu, View<const float, 2> dy, View<const float, 2> m, View<const float, 2> x,
                            long value, Sink<float, 2> dm, Sink<float, 2> dx) {
  const long width = dy.shape[1];
  parallel_rows(cpu.threads, dy.shape[0], x.shape[1], [&](long first, long last) {
    for (long r = first; r < last; ++r) {
      const float *d = dy.row(r), *part = x.row(r) + value * width;
      if (dm)
        along(width, [&](long c, auto n)
                         PHONAUT_FORCE_INLINE { put(dm.row(r) + c, load(d + c, n) * load(part + c, n), dm.add, n); });
      if (!dx) continue;
      float* to = dx.row(r) + value * width;
      if (!dx.add) {
        const auto clear = [](float* from, long count) PHONAUT_FORCE_INLINE {
          along(count, [&](long c, auto n) PHONAUT_FORCE_INLINE { store(from + c, Vec(0.0f), n); });
        };
        clear(dx.row(r), value * width);
        clear(to + width, dx.shape[1] - (value + 1) * width);
      }
      along(width, [&](long c, auto n)
                       PHONAUT_FORCE_INLINE { put(to + c, load(d + c, n) * load(m.row(r) + c, n), dx.add, n); });
    }
  });
}

}  // namespace phonaut::kernel::PHONAUT_ISA
#else
#include "phonaut/ops/gated_part.hpp"
#endif

PHONAUT_DISPATCH(gated_part_forward,
                 (const Cpu& cpu, formula::SigmoidGate f, PartGate part, View<const float, 3> x, const long* lengths,
                  View<float, 3> y),
                 (cpu, f, part, x, lengths, y))
PHONAUT_DISPATCH(gated_part_forward,
                 (const Cpu& cpu, formula::TanhGate f, PartGate part, View<const float, 3> x, const long* lengths,
                  View<float, 3> y),
                 (cpu, f, part, x, lengths, y))
PHONAUT_DISPATCH(gated_part_backward,
                 (const Cpu& cpu, formula::SigmoidGate f, PartGate part, View<const float, 3> dy,
                  View<const float, 3> x, const long* lengths, Sink<float, 3> dx),
                 (cpu, f, part, dy, x, lengths, dx))
PHONAUT_DISPATCH(gated_part_backward,
                 (const Cpu& cpu, formula::TanhGate f, PartGate part, View<const float, 3> dy, View<const float, 3> x,
                  const long* lengths, Sink<float, 3> dx),
                 (cpu, f, part, dy, x, lengths, dx))
PHONAUT_DISPATCH(multiply_part_forward,
                 (const Cpu& cpu, View<const float, 2> m, View<const float, 2> x, long value, View<float, 2> y),
                 (cpu, m, x, value, y))
PHONAUT_DISPATCH(multiply_part_backward,
                 (const Cpu& cpu, View<const float, 2> dy, View<const float, 2> m, View<const float, 2> x, long value,
                  Sink<float, 2> dm, Sink<float, 2> dx),
                 (cpu, dy, m, x, value, dm, dx))
