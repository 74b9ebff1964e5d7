#include "phonaut/ops/row_blocks.hpp"

#include "rows.hpp"

#ifdef PHONAUT_ISA
namespace phonaut::kernel::PHONAUT_ISA {

void bypass_forward(const Cpu& cpu, View<const float, 3> a, View<const float, 3> b, const float* scale, long repeat,
                    View<float, 3> y) {
  const long time = y.shape[1], channels = y.shape[2];
  parallel_rows(cpu.threads, y.shape[0] * time, channels, [&](long first, long last) PHONAUT_FORCE_INLINE {
    for (long row = first; row < last; ++row) {
      const long n = row / time, t = row - n * time;
      const float* from = a.data + n * a.stride[0] + t * a.stride[1];
      const float* to = b.data + n * b.stride[0] + t / repeat * b.stride[1];
      float* out = y.data + n * y.stride[0] + t * y.stride[1];
      along(channels, [&](long i, auto m) PHONAUT_FORCE_INLINE {
        const Vec old = load(from + i, m);
        store(out + i, fma(load(to + i, m) - old, load(scale + i, m), old), m);
      });
    }
  });
}

// A task takes a block of frames of b, and those of a which they stand for: everything is read once.
void bypass_backward(const Cpu& cpu, View<const float, 3> dy, View<const float, 3> a, View<const float, 3> b,
                     const float* scale, long repeat, Sink<float, 3> da, Sink<float, 3> db, Sink<float, 1> dscale,
                     View<float, 2> partial) {
  const long time = dy.shape[1], channels = dy.shape[2], groups = b.shape[1], blocks = row_blocks(groups);
  parallel_for(cpu.threads, dy.shape[0] * blocks, [&](long task) {
    const long n = task / blocks, first = task % blocks * rows_per_block;
    const long last = first + rows_per_block < groups ? first + rows_per_block : groups;
    float* own = dscale ? partial.row(task) : nullptr;
    if (own) along(channels, [&](long i, auto m) PHONAUT_FORCE_INLINE { store(own + i, Vec(0.0f), m); });
    for (long j = first; j < last; ++j) {
      const long begin = j * repeat, end = begin + repeat < time ? begin + repeat : time;
      const float* to = b.data + n * b.stride[0] + j * b.stride[1];
      along(channels, [&](long i, auto m) PHONAUT_FORCE_INLINE {
        const Vec share = load(scale + i, m), fresh = load(to + i, m);
        Vec total(0.0f), turn(0.0f);
        for (long t = begin; t < end; ++t) {
          const Vec g = load(dy.data + n * dy.stride[0] + t * dy.stride[1] + i, m);
          total += g;
          if (own) turn = fma(g, fresh - load(a.data + n * a.stride[0] + t * a.stride[1] + i, m), turn);
          if (da) put(da.data + n * da.stride[0] + t * da.stride[1] + i, g * (Vec(1.0f) - share), da.add, m);
        }
        if (db) put(db.data + n * db.stride[0] + j * db.stride[1] + i, total * share, db.add, m);
        if (own) put(own + i, turn, true, m);
      });
    }
  });
  add_up_blocks(partial, 0, dscale);
}

}  // namespace phonaut::kernel::PHONAUT_ISA
#else
#include "phonaut/ops/bypass.hpp"
#endif

PHONAUT_DISPATCH(bypass_forward,
                 (const Cpu& cpu, View<const float, 3> a, View<const float, 3> b, const float* scale, long repeat,
                  View<float, 3> y),
                 (cpu, a, b, scale, repeat, y))
PHONAUT_DISPATCH(bypass_backward,
                 (const Cpu& cpu, View<const float, 3> dy, View<const float, 3> a, View<const float, 3> b,
                  const float* scale, long repeat, Sink<float, 3> da, Sink<float, 3> db, Sink<float, 1> dscale,
                  View<float, 2> partial),
                 (cpu, dy, a, b, scale, repeat, da, db, dscale, partial))
