#include "phonaut/ops/group_weights.hpp"
#include "rows.hpp"

#ifdef PHONAUT_ISA
namespace phonaut::kernel::PHONAUT_ISA {

namespace {

PHONAUT_INLINE long smaller(long a, long b) { return b < a ? b : a; }

/// Calls run(row of y, n, j, frames of utterance n) for all groups, over threads.
template <class Run>
PHONAUT_INLINE void each_group(const Cpu& cpu, const Shape<3>& x, const Shape<3>& y, const long* lengths, long group,
                               const Run& run) {
  parallel_rows(cpu.threads, y[0] * y[1], group * y[2], [&](long first, long last) PHONAUT_FORCE_INLINE {
    for (long row = first; row < last; ++row) {
      const long n = row / y[1];
      run(row, n, row - n * y[1], lengths ? lengths[n] : x[1]);
    }
  });
}

}  // namespace

void weighted_downsample_forward(const Cpu& cpu, View<const float, 3> x, const float* bias, long group,
                                 const long* lengths, View<float, 3> y) {
  double w[max_downsampling];
  group_weights(bias, group, w);
  const long channels = y.shape[2];
  each_group(cpu, x.shape, y.shape, lengths, group, [&](long, long n, long j, long time) PHONAUT_FORCE_INLINE {
    float* to = y.data + n * y.stride[0] + j * y.stride[1];
    const float* from = x.data + n * x.stride[0];
    const long begin = j * group, members = begin < time ? group : 0;
    along(channels, [&](long i, auto m) PHONAUT_FORCE_INLINE {
      Vec total(0.0f);
      for (long k = 0; k < members; ++k)
        total = fma(Vec(w[k]), load(from + smaller(begin + k, time - 1) * x.stride[1] + i, m), total);
      store(to + i, total, m);
    });
  });
}

// A group's task writes the gradients of the frames it covers, and the products <dy, x> of its members.
void weighted_downsample_backward(const Cpu& cpu, View<const float, 3> dy, View<const float, 3> x, const float* bias,
                                  long group, const long* lengths, Sink<float, 3> dx, Sink<float, 1> dbias,
                                  View<float, 2> partial) {
  double w[max_downsampling], q[max_downsampling];
  group_weights(bias, group, w);
  const long channels = dy.shape[2];
  each_group(cpu, x.shape, dy.shape, lengths, group, [&](long row, long n, long j, long time) PHONAUT_FORCE_INLINE {
    const float* d = dy.data + n * dy.stride[0] + j * dy.stride[1];
    const long begin = j * group, end = smaller(begin + group, x.shape[1]);
    for (long t = begin; dx && t < end; ++t) {
      float* to = dx.data + n * dx.stride[0] + t * dx.stride[1];
      double share = t < time ? w[t - begin] : 0;
      if (t == time - 1)
        for (long k = t - begin + 1; k < group; ++k) share += w[k];  // it stands for the frames behind it, too
      if (t < time)
        along(channels,
              [&](long i, auto m) PHONAUT_FORCE_INLINE { put(to + i, load(d + i, m) * Vec(share), dx.add, m); });
      else if (!dx.add) along(channels, [&](long i, auto m) PHONAUT_FORCE_INLINE { store(to + i, Vec(0.0f), m); });
    }
    if (!dbias) return;
    float product = 0;
    for (long k = 0; k < group; ++k) {
      if (begin + k < time) {
        const float* from = x.data + n * x.stride[0] + (begin + k) * x.stride[1];
        product = sum_along(channels,
                            [&](long i, auto m) PHONAUT_FORCE_INLINE { return load(d + i, m) * load(from + i, m); });
      }
      partial.row(row)[k] = product;  // behind the end that of the last frame; 0 where there is none
    }
  });
  if (!dbias) return;
  double mean = 0;
  for (long k = 0; k < group; ++k) {
    q[k] = 0;
    for (long row = 0; row < partial.shape[0]; ++row) q[k] += static_cast<double>(partial.row(row)[k]);
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
