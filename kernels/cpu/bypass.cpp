#include "rows.hpp"

#ifdef PHONAUT_ISA
#include "phonaut/ops/row_blocks.hpp"

namespace phonaut::kernel::PHONAUT_ISA {

namespace {

/// Frame `row` of all utterances, one after the other.
template <class T>
PHONAUT_INLINE T* frame(const View<T, 3>& v, long row, long time) {
  return v.data + row / time * v.stride[0] + row % time * v.stride[1];
}
/// The frame of b that stands for frame `row` of a.
PHONAUT_INLINE const float* held(const View<const float, 3>& b, long row, long time, long repeat) {
  return b.data + row / time * b.stride[0] + row % time / repeat * b.stride[1];
}

}  // namespace

void bypass_forward(const Cpu& cpu, View<const float, 3> a, View<const float, 3> b, const float* scale, long repeat,
                    View<float, 3> y) {
  const long time = y.shape[1], width = y.shape[2];
  parallel_rows(cpu.threads, y.shape[0] * time, width, [&](long first, long last) {
    for (long r = first; r < last; ++r) {
      const float *from = frame(a, r, time), *to = held(b, r, time, repeat);
      float* out = frame(y, r, time);
      along(width, [&](long c, auto n) PHONAUT_FORCE_INLINE {
        const Vec x = load(from + c, n);
        store(out + c, fma(load(to + c, n) - x, load(scale + c, n), x), n);
      });
    }
  });
}

void bypass_backward(const Cpu& cpu, View<const float, 3> dy, View<const float, 3> a, View<const float, 3> b,
                     const float* scale, long repeat, Sink<float, 3> da, Sink<float, 3> db, Sink<float, 1> dscale,
                     View<float, 2> partial) {
  const long time = dy.shape[1], width = dy.shape[2], rows = dy.shape[0] * time;
  const bool single = db && repeat == 1;  // then one pass writes everything
  parallel_for(cpu.threads, row_blocks(rows), [&](long block) {
    const long first = block * rows_per_block, last = first + rows_per_block < rows ? first + rows_per_block : rows;
    float* own = dscale ? partial.row(block) : nullptr;
    for (long r = first; r < last; ++r) {
      const float *g = frame(dy, r, time), *from = frame(a, r, time), *to = held(b, r, time, repeat);
      along(width, [&](long c, auto n) PHONAUT_FORCE_INLINE {
        const Vec d = load(g + c, n), s = load(scale + c, n);
        if (da) put(da.data + r * width + c, d * (Vec(1.0f) - s), da.add, n);
        if (single) put(db.data + r * width + c, d * s, db.add, n);
        if (own) put(own + c, d * (load(to + c, n) - load(from + c, n)), r > first, n);
      });
    }
  });
  if (dscale) add_up_blocks(partial, 0, dscale);
  if (!db || single) return;
  const long groups = b.shape[1];
  parallel_rows(cpu.threads, dy.shape[0] * groups, width, [&](long first, long last) {
    for (long r = first; r < last; ++r) {
      const long n = r / groups, begin = r % groups * repeat, end = begin + repeat < time ? begin + repeat : time;
      along(width, [&](long c, auto lanes) PHONAUT_FORCE_INLINE {
        Vec total(0.0f);
        for (long t = begin; t < end; ++t) total += load(frame(dy, n * time + t, time) + c, lanes);
        put(db.data + r * width + c, total * load(scale + c, lanes), db.add, lanes);
      });
    }
  });
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
