#include "rows.hpp"

#ifdef PHONAUT_ISA
#include <math.h>
namespace phonaut::kernel::PHONAUT_ISA {

// An utterance is worked on in strips of 64 channels, so that a frame's part of a strip is whole lines of the cache:
// down the frames of a strip, sums stay in registers. Strips are spread over threads where that is possible (each group
// inside one strip, as in instance normalisation); otherwise a thread takes a whole utterance, strip by strip.
constexpr long strip_width = 64;

// Frames whose sums are kept in float before they go to the total in double.
constexpr long frames_per_run = 256;

struct Strip {
  double value[strip_width];
};

/// Σ_t term(t, c, n) for the channels first … first + width - 1 of a strip; term adds lanes at channel c of frame t.
template <class Term>
PHONAUT_INLINE Strip sum_down(long time, long first, long width, const Term& term) {
  Strip total = {};
  for (long begin = 0; begin < time; begin += frames_per_run) {
    const long end = begin + frames_per_run < time ? begin + frames_per_run : time;
    along(width, [&](long i, auto n) PHONAUT_FORCE_INLINE {
      Vec part(0.0f);
      for (long t = begin; t < end; ++t) part += term(t, first + i, n);
      alignas(64) float lane[Vec::lanes];
      part.store(lane);
      for (long j = 0; j < Vec::lanes && i + j < width; ++j) total.value[i + j] += static_cast<double>(lane[j]);
    });
  }
  return total;
}

/// Count, mean and squared distances from the mean of what was added (T. Chan et al., "Updating formulae and a pairwise
/// algorithm for computing sample variances", 1979).
struct Moments {
  double count = 0, mean = 0, squares = 0;
  PHONAUT_INLINE void add(const Moments& more) {
    const double together = count + more.count, apart = more.mean - mean;
    if (together == 0) return;
    mean += apart * more.count / together;
    squares += more.squares + apart * apart * count * more.count / together;
    count = together;
  }
};

/// Adds the moments of frames [0, time) of the channels first … first + width - 1 of a strip. Frames are read once: a
/// run of them stays in the cache for its second look.
PHONAUT_INLINE void add_moments(const float* x, long row, long time, long first, long width, Moments* of_channel) {
  for (long begin = 0; begin < time; begin += frames_per_run) {
    const long end = begin + frames_per_run < time ? begin + frames_per_run : time;
    const double frames = static_cast<double>(end - begin);
    along(width, [&](long i, auto n) PHONAUT_FORCE_INLINE {
      Vec total(0.0f), drift(0.0f), squares(0.0f);
      for (long t = begin; t < end; ++t) total += load(x + t * row + first + i, n);
      const Vec mean = total * Vec(static_cast<float>(1 / frames));
      for (long t = begin; t < end; ++t) {
        const Vec d = load(x + t * row + first + i, n) - mean;
        drift += d;  // what rounding left of the mean
        squares = fma(d, d, squares);
      }
      alignas(64) float of_mean[Vec::lanes], of_drift[Vec::lanes], of_squares[Vec::lanes];
      mean.store(of_mean), drift.store(of_drift), squares.store(of_squares);
      for (long j = 0; j < Vec::lanes && i + j < width; ++j) {
        const double off = static_cast<double>(of_drift[j]) / frames;
        of_channel[i + j].add(
            {frames, static_cast<double>(of_mean[j]) + off, static_cast<double>(of_squares[j]) - off * off * frames});
      }
    });
  }
}

/// Calls run(n, first group, last group) so that no group is in two calls.
template <class F>
PHONAUT_INLINE void for_each_bundle(const Cpu& cpu, long batch, long groups, long group_width, const F& run) {
  const long at_once = group_width >= strip_width ? 1 : strip_width / group_width;
  const long bundles = blocks_of(groups, at_once);
  parallel_for(cpu.threads, batch * bundles, [&](long i) {
    const long first = i % bundles * at_once;
    run(i / bundles, first, first + at_once < groups ? first + at_once : groups);
  });
}
/// Calls run(first, width) for the strips of channels [begin, end).
template <class F>
PHONAUT_INLINE void for_each_strip(long begin, long end, const F& run) {
  for (; begin < end; begin += strip_width) run(begin, end - begin < strip_width ? end - begin : strip_width);
}

void group_norm_forward(const Cpu& cpu, View<const float, 3> x, const long* lengths, long groups, const float* gain,
                        const float* bias, double epsilon, View<float, 3> y, View<float, 3> stats) {
  const long group_width = groups > 0 ? x.shape[2] / groups : 0;
  for_each_bundle(
      cpu, x.shape[0], groups, group_width > 0 ? group_width : 1, [&](long n, long first_group, long last_group) {
        const long time = lengths ? lengths[n] : x.shape[1];
        const float* from = x.data + n * x.stride[0];
        float* to = y.data + n * y.stride[0];
        const long begin = first_group * group_width, end = last_group * group_width;
        // Of a group, or of up to strip_width groups of a bundle.
        Moments of_group[strip_width];
        for_each_strip(begin, end, [&](long first, long width) {
          Moments of_channel[strip_width];
          add_moments(from, x.stride[1], time, first, width, of_channel);
          for (long i = 0; i < width; ++i) of_group[(first + i) / group_width - first_group].add(of_channel[i]);
        });
        for (long g = 0; g < last_group - first_group; ++g) {
          const double count = of_group[g].count > 0 ? of_group[g].count : 1;
          stats(n, first_group + g, 0) = static_cast<float>(of_group[g].mean);
          stats(n, first_group + g, 1) = static_cast<float>(1.0 / ::sqrt(of_group[g].squares / count + epsilon));
        }
        // The mean of every channel of a strip, in lanes.
        float centre[strip_width + 16], scale[strip_width + 16];
        const auto spread = [&](long first, long width, long which, float* out) {
          for (long i = 0; i < width; ++i) out[i] = stats(n, (first + i) / group_width, which);
        };
        for_each_strip(begin, end, [&](long first, long width) {
          spread(first, width, 0, centre);
          spread(first, width, 1, scale);
          for (long t = 0; t < x.shape[1]; ++t)
            along(width, [&](long i, auto k) PHONAUT_FORCE_INLINE {
              Vec v(0.0f);
              if (t < time) {
                v = (load(from + t * x.stride[1] + first + i, k) - load(centre + i, k)) * load(scale + i, k);
                if (gain) v = v * load(gain + first + i, k);
                if (bias) v = v + load(bias + first + i, k);
              }
              store(to + t * y.stride[1] + first + i, v, k);
            });
        });
      });
}

void group_norm_backward(const Cpu& cpu, View<const float, 3> dy, View<const float, 3> x, const long* lengths,
                         long groups, const float* gain, View<const float, 3> stats, Sink<float, 3> dx,
                         Sink<float, 1> dgain, Sink<float, 1> dbias, View<float, 2> partial) {
  const long channels = x.shape[2], group_width = groups > 0 ? channels / groups : 0;
  for_each_bundle(
      cpu, x.shape[0], groups, group_width > 0 ? group_width : 1, [&](long n, long first_group, long last_group) {
        const long time = lengths ? lengths[n] : x.shape[1];
        const float *from = x.data + n * x.stride[0], *dfrom = dy.data + n * dy.stride[0];
        const long begin = first_group * group_width, end = last_group * group_width;
        const double count = static_cast<double>(time > 0 ? time * group_width : 1);
        float centre[strip_width + 16], scale[strip_width + 16], mean_h[strip_width + 16], mean_hz[strip_width + 16];
        double sum_h[strip_width], sum_hz[strip_width];
        for (long g = 0; g < last_group - first_group; ++g) sum_h[g] = sum_hz[g] = 0;
        const auto spread = [&](long first, long width) {
          for (long i = 0; i < width; ++i) {
            centre[i] = stats(n, (first + i) / group_width, 0);
            scale[i] = stats(n, (first + i) / group_width, 1);
          }
        };
        // Per channel: Σ dy and Σ dy z. They are the gradients of bias and gain, and with the gain the sums of the
        // group.
        for_each_strip(begin, end, [&](long first, long width) {
          spread(first, width);
          const Strip to_bias = sum_down(time, first, width, [&](long t, long c, auto k) PHONAUT_FORCE_INLINE {
            return load(dfrom + t * dy.stride[1] + c, k);
          });
          const Strip to_gain = sum_down(time, first, width, [&](long t, long c, auto k) PHONAUT_FORCE_INLINE {
            const Vec z =
                (load(from + t * x.stride[1] + c, k) - load(centre + (c - first), k)) * load(scale + (c - first), k);
            return load(dfrom + t * dy.stride[1] + c, k) * z;
          });
          for (long i = 0; i < width; ++i) {
            const long g = (first + i) / group_width - first_group;
            const double factor = gain ? static_cast<double>(gain[first + i]) : 1.0;
            sum_h[g] += factor * to_bias.value[i];
            sum_hz[g] += factor * to_gain.value[i];
            if (partial) {
              partial.row(n)[first + i] = static_cast<float>(to_gain.value[i]);
              partial.row(n)[channels + first + i] = static_cast<float>(to_bias.value[i]);
            }
          }
        });
        if (!dx) return;
        for_each_strip(begin, end, [&](long first, long width) {
          spread(first, width);
          for (long i = 0; i < width; ++i) {
            const long g = (first + i) / group_width - first_group;
            mean_h[i] = static_cast<float>(sum_h[g] / count);
            mean_hz[i] = static_cast<float>(sum_hz[g] / count);
          }
          for (long t = 0; t < x.shape[1]; ++t)
            along(width, [&](long i, auto k) PHONAUT_FORCE_INLINE {
              Vec v(0.0f);
              if (t < time) {
                const Vec rstd = load(scale + i, k);
                const Vec z = (load(from + t * x.stride[1] + first + i, k) - load(centre + i, k)) * rstd;
                Vec h = load(dfrom + t * dy.stride[1] + first + i, k);
                if (gain) h = h * load(gain + first + i, k);
                v = rstd * (h - load(mean_h + i, k) - z * load(mean_hz + i, k));
              }
              put(dx.data + (n * x.shape[1] + t) * channels + first + i, v, dx.add, k);
            });
        });
      });
  add_up_blocks(partial, 0, dgain);
  add_up_blocks(partial, channels, dbias);
}

}  // namespace phonaut::kernel::PHONAUT_ISA
#else
#include "phonaut/ops/group_norm.hpp"
#endif

PHONAUT_DISPATCH(group_norm_forward,
                 (const Cpu& cpu, View<const float, 3> x, const long* lengths, long groups, const float* gain,
                  const float* bias, double epsilon, View<float, 3> y, View<float, 3> stats),
                 (cpu, x, lengths, groups, gain, bias, epsilon, y, stats))
PHONAUT_DISPATCH(group_norm_backward,
                 (const Cpu& cpu, View<const float, 3> dy, View<const float, 3> x, const long* lengths, long groups,
                  const float* gain, View<const float, 3> stats, Sink<float, 3> dx, Sink<float, 1> dgain,
                  Sink<float, 1> dbias, View<float, 2> partial),
                 (cpu, dy, x, lengths, groups, gain, stats, dx, dgain, dbias, partial))
