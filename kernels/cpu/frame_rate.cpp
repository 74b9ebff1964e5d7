#include "rows.hpp"

#ifdef PHONAUT_ISA
namespace phonaut::kernel::PHONAUT_ISA {

namespace {

PHONAUT_INLINE long smaller(long a, long b) { return a < b ? a : b; }
/// Frame t of utterance n.
template <class T>
PHONAUT_INLINE T* frame(const View<T, 3>& v, long n, long t) {
  return v.data + n * v.stride[0] + t * v.stride[1];
}

}  // namespace

void average_frames_forward(const Cpu& cpu, View<const float, 3> x, const long* lengths, long group, View<float, 3> y) {
  const long groups = y.shape[1], width = y.shape[2];
  parallel_rows(cpu.threads, y.shape[0] * groups, group * width, [&](long first, long last) {
    for (long r = first; r < last; ++r) {
      const long n = r / groups, begin = r % groups * group, time = lengths ? lengths[n] : x.shape[1];
      const long count = smaller(group, time - begin);
      const Vec size(count > 0 ? static_cast<float>(count) : 1.0f);
      float* to = frame(y, n, r % groups);
      along(width, [&](long c, auto lanes) PHONAUT_FORCE_INLINE {
        Vec total(0.0f);
        for (long k = 0; k < count; ++k) total += load(frame(x, n, begin + k) + c, lanes);
        store(to + c, total / size, lanes);
      });
    }
  });
}

void average_frames_backward(const Cpu& cpu, View<const float, 3> dy, const long* lengths, long group,
                             Sink<float, 3> dx) {
  const long frames = dx.shape[1], width = dx.shape[2];
  parallel_rows(cpu.threads, dx.shape[0] * frames, width, [&](long first, long last) {
    for (long r = first; r < last; ++r) {
      const long n = r / frames, t = r % frames, time = lengths ? lengths[n] : frames;
      const long count = t < time ? smaller(group, time - t / group * group) : 0;
      const Vec share(count > 0 ? 1.0f / static_cast<float>(count) : 0.0f);
      const float* from = frame(dy, n, t / group);
      along(width, [&](long c, auto lanes) PHONAUT_FORCE_INLINE {
        put(dx.data + r * width + c, count > 0 ? load(from + c, lanes) * share : Vec(0.0f), dx.add, lanes);
      });
    }
  });
}

void repeat_frames_forward(const Cpu& cpu, View<const float, 3> x, long times, View<float, 3> y) {
  const long frames = y.shape[1], width = y.shape[2];
  parallel_rows(cpu.threads, y.shape[0] * frames, width, [&](long first, long last) {
    for (long r = first; r < last; ++r) {
      const float* from = frame(x, r / frames, r % frames / times);
      float* to = frame(y, r / frames, r % frames);
      along(width, [&](long c, auto lanes) PHONAUT_FORCE_INLINE { store(to + c, load(from + c, lanes), lanes); });
    }
  });
}

void repeat_frames_backward(const Cpu& cpu, View<const float, 3> dy, long times, Sink<float, 3> dx) {
  const long frames = dx.shape[1], width = dx.shape[2];
  parallel_rows(cpu.threads, dx.shape[0] * frames, times * width, [&](long first, long last) {
    for (long r = first; r < last; ++r) {
      const long n = r / frames, begin = r % frames * times, end = smaller(begin + times, dy.shape[1]);
      along(width, [&](long c, auto lanes) PHONAUT_FORCE_INLINE {
        Vec total(0.0f);
        for (long t = begin; t < end; ++t) total += load(frame(dy, n, t) + c, lanes);
        put(dx.data + r * width + c, total, dx.add, lanes);
      });
    }
  });
}

}  // namespace phonaut::kernel::PHONAUT_ISA
#else
#include "phonaut/ops/frame_rate.hpp"
#endif

PHONAUT_DISPATCH(average_frames_forward,
                 (const Cpu& cpu, View<const float, 3> x, const long* lengths, long group, View<float, 3> y),
                 (cpu, x, lengths, group, y))
PHONAUT_DISPATCH(average_frames_backward,
                 (const Cpu& cpu, View<const float, 3> dy, const long* lengths, long group, Sink<float, 3> dx),
                 (cpu, dy, lengths, group, dx))
PHONAUT_DISPATCH(repeat_frames_forward, (const Cpu& cpu, View<const float, 3> x, long times, View<float, 3> y),
                 (cpu, x, times, y))
PHONAUT_DISPATCH(repeat_frames_backward, (const Cpu& cpu, View<const float, 3> dy, long times, Sink<float, 3> dx),
                 (cpu, dy, times, dx))
