#include "phonaut/ops/group_weights.hpp"
#include "rows.hpp"

#ifdef PHONAUT_ISA
namespace phonaut::kernel::PHONAUT_ISA {

namespace {

PHONAUT_INLINE long clamped(long t, long time) { return t < time ? t : time - 1; }

}  // namespace

void weighted_downsample_forward(const Cpu& cpu, View<const float, 3> x, const float* bias, long group,
                                 const long* lengths, View<float, 3> y) {
  double w[max_downsampling]{};
  group_weights(bias, group, w);
  const long groups = y.shape[1], width = y.shape[2];
  parallel_rows(cpu.threads, y.shape[0] * groups, group * width, [&](long first, long last) {
    for (long r = first; r < last; ++r) {
      const long utterance = r / groups, begin = r % groups * group;
      const long time = lengths ? lengths[utterance] : x.shape[1], count = begin < time ? group : 0;
      const float* from = x.data + utterance * x.stride[0];
      float* to = y.data + utterance * y.stride[0] + r % groups * y.stride[1];
      along(width, [&](long c, auto n) PHONAUT_FORCE_INLINE {
        Vec total(0.0f);
        for (long k = 0; k < count; ++k)
          total = fma(load(from + clamped(begin + k, time) * x.stride[1] + c, n), Vec(w[k]), total);
        store(to + c, total, n);
      });
    }
  });
}

void weighted_downsample_backward(const Cpu& cpu, View<const float, 3> dy, View<const float, 3> x, const float* bias,
                                  long group, const long* lengths, Sink<float, 3> dx, Sink<float, 1> dbias,
                                  View<float, 2> partial) {
  double w[max_downsampling]{};
  group_weights(bias, group, w);
  const long batch = x.shape[0], frames = x.shape[1], width = x.shape[2], groups = dy.shape[1];
  const auto time_of = [&](long n) PHONAUT_FORCE_INLINE { return lengths ? lengths[n] : frames; };
  if (dx)
    // A frame has one group; the last one stands for those that are missing behind it too.
    parallel_rows(cpu.threads, batch * frames, width, [&](long first, long last) {
      for (long r = first; r < last; ++r) {
        const long n = r / frames, t = r % frames, time = time_of(n), j = t / group;
        double weight = t < time ? w[t % group] : 0;
        for (long k = t % group + 1; k < group && t == time - 1; ++k) weight += w[k];
        float* to = dx.data + r * width;
        const float* from = dy.data + n * dy.stride[0] + j * dy.stride[1];
        const Vec factor(weight);
        if (t < time)
          along(width, [&](long c, auto lanes)
                           PHONAUT_FORCE_INLINE { put(to + c, load(from + c, lanes) * factor, dx.add, lanes); });
        else if (!dx.add)
          along(width, [&](long c, auto lanes) PHONAUT_FORCE_INLINE { store(to + c, Vec(0.0f), lanes); });
      }
    });
  if (!dbias) return;
  parallel_rows(cpu.threads, batch * groups, group * width, [&](long first, long last) {
    for (long r = first; r < last; ++r) {
      const long n = r / groups, begin = r % groups * group, time = time_of(n);
      const float* g = dy.data + n * dy.stride[0] + r % groups * dy.stride[1];
      for (long k = 0; k < group; ++k) {
        const float* from = x.data + n * x.stride[0] + clamped(begin + k, time) * x.stride[1];
        partial.row(r)[k] = begin >= time ? 0.0f : sum_along(width, [&](long c, auto lanes) PHONAUT_FORCE_INLINE {
          return load(g + c, lanes) * load(from + c, lanes);
        });
      }
    }
  });
  // dbias is a difference of sums over all frames: these are kept wide.
  double q[max_downsampling], mean = 0;
  for (long k = 0; k < group; ++k) {
    q[k] = 0;
    for (long r = 0; r < batch * groups; ++r) q[k] += static_cast<double>(partial.row(r)[k]);
    mean += w[k] * q[k];
  }
  for (long k = 0; k < group; ++k) dbias.put(k, static_cast<float>(w[k] * (q[k] - mean)));
}

}  // namespace phonaut::kernel::PHONAUT_ISA
#else
#include "phonaut/ops/weighted_downsample.hpp"
#endif

PHONAUT_DISPATCH(weighted_downsample_forward,
                 (const Cpu& cpu, View<const float, 3> x, const float* bias, long group, const long* lengths,
                  View<float, 3> y),
                 (cpu, x, bias, group, lengths, y))
PHONAUT_DISPATCH(weighted_downsample_backward,
                 (const Cpu& cpu, View<const float, 3> dy, View<const float, 3> x, const float* bias, long group,
                  const long* lengths, Sink<float, 3> dx, Sink<float, 1> dbias, View<float, 2> partial),
                 (cpu, dy, x, bias, group, lengths, dx, dbias, partial))
