#include "parallel.hpp"
#include "phonaut/ops/patch_geometry.hpp"
#include "vec.hpp"

#ifdef PHONAUT_ISA
namespace phonaut::kernel::PHONAUT_ISA {

namespace {

PHONAUT_INLINE void copy_run(const float* from, long n, float* to) {
  long i = 0;
  for (; i + Vec::lanes <= n; i += Vec::lanes) Vec::load(from + i).store(to + i);
  if (i < n) Vec::load(from + i, n - i).store(to + i, n - i);
}
PHONAUT_INLINE void clear_run(long n, float* to) {
  long i = 0;
  for (; i + Vec::lanes <= n; i += Vec::lanes) Vec(0.0f).store(to + i);
  if (i < n) Vec(0.0f).store(to + i, n - i);
}
PHONAUT_INLINE void add_run(const float* from, long n, float* to) {
  long i = 0;
  for (; i + Vec::lanes <= n; i += Vec::lanes) put(to + i, Vec::load(from + i), true);
  if (i < n) put(to + i, Vec::load(from + i, n - i), true, n - i);
}
PHONAUT_INLINE long larger(long a, long b) { return a < b ? b : a; }
PHONAUT_INLINE long smaller(long a, long b) { return b < a ? b : a; }

}  // namespace

// The taps that a place sees within one frame lie side by side in the image: one copy per frame, not one per tap.
void gather_patches(const Cpu& cpu, View<const float, 4> x, const PatchGeometry& g, long first, long times,
                    View<float, 2> patches) {
  const long channels = x.shape[3], taps = g.kernel.frequency, run = taps * channels;
  parallel_for(cpu.threads, x.shape[0] * times, [&](long frame) {
    const View<const float, 3> image = x[frame / times];
    const long t = frame % times;
    for (long f = 0; f < g.frequencies; ++f) {
      const long from_f = f * g.stride.frequency - g.padding.frequency;
      const long j0 = larger(0, -from_f), j1 = smaller(taps, image.shape[1] - from_f);
      for (long i = 0; i < g.kernel.time; ++i) {
        const long from_t = (first + t) * g.stride.time + i * g.dilation - g.padding.time;
        float* to = patches.row(frame * g.frequencies + f) + i * run;
        if (from_t < 0 || from_t >= image.shape[0] || j0 >= j1) {
          clear_run(run, to);
          continue;
        }
        clear_run(j0 * channels, to);
        copy_run(image.data + from_t * image.stride[0] + (from_f + j0) * image.stride[1], (j1 - j0) * channels,
                 to + j0 * channels);
        clear_run((taps - j1) * channels, to + j1 * channels);
      }
    }
  });
}

// A frame of an image collects what lands in it, so that threads do not meet.
void scatter_patches(const Cpu& cpu, View<const float, 2> patches, const PatchGeometry& g, long first, long times,
                     View<float, 4> dx) {
  const long channels = dx.shape[3], taps = g.kernel.frequency, run = taps * channels;
  const long begin = g.first_seen(first), seen = larger(0, g.end_seen(first + times - 1, dx.shape[1]) - begin);
  parallel_for(cpu.threads, dx.shape[0] * seen, [&](long frame) {
    const long n = frame / seen, to_t = begin + frame % seen;
    const View<float, 3> image = dx[n];
    for (long i = 0; i < g.kernel.time; ++i) {
      const long at = to_t + g.padding.time - i * g.dilation;
      if (at < 0 || at % g.stride.time != 0) continue;
      const long t = at / g.stride.time - first;
      if (t < 0 || t >= times) continue;
      for (long f = 0; f < g.frequencies; ++f) {
        const long to_f = f * g.stride.frequency - g.padding.frequency;
        const long j0 = larger(0, -to_f), j1 = smaller(taps, image.shape[1] - to_f);
        if (j0 < j1)
          add_run(patches.row((n * times + t) * g.frequencies + f) + i * run + j0 * channels, (j1 - j0) * channels,
                  image.data + to_t * image.stride[0] + (to_f + j0) * image.stride[1]);
      }
    }
  });
}

}  // namespace phonaut::kernel::PHONAUT_ISA
#else
#include "phonaut/ops/conv2d.hpp"
#endif

PHONAUT_DISPATCH(gather_patches,
                 (const Cpu& cpu, View<const float, 4> x, const PatchGeometry& g, long first, long times,
                  View<float, 2> patches),
                 (cpu, x, g, first, times, patches))
PHONAUT_DISPATCH(scatter_patches,
                 (const Cpu& cpu, View<const float, 2> patches, const PatchGeometry& g, long first, long times,
                  View<float, 4> dx),
                 (cpu, patches, g, first, times, dx))
