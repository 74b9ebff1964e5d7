// Between waveforms and spectra. A block computes a frame in shared memory; what frames have in common, the overlapping
// samples, is added up by a second kernel in which each sample looks up its frames.
#include "elementwise.cuh"
#include "fft.cuh"
#include "phonaut/ops/fft_plan.hpp"
#include "phonaut/ops/spectral_kernels.hpp"
#include "reduce.cuh"

namespace phonaut::kernel {

namespace {

using spectral::FrameEnergy;
using spectral::Spectrum;
using Analysis = spectral::Analysis<float>;
using Synthesis = spectral::Synthesis<float>;

constexpr int kFrameThreads = 128;
constexpr long kMostShared = 40 * 1024,
               kMostFrames = 2048;  // bytes; blocks, where frames do not fit into shared memory

/// A frame's buffers, for a transform and what goes with it: in shared memory, or else behind `room`, `floats` for each
/// block.
__device__ __forceinline__ float* frame_memory(float* room, long floats) {
  PHONAUT_DYNAMIC_SHARED(float, shared);
  return room ? room + blockIdx.x * floats : shared;
}

/// Launches a kernel of (…, frames, room) with a block per frame.
struct FrameLaunch {
  cuda::Scratch<float> room;
  cuda::Grid grid;
  FrameLaunch(const Cuda& cuda, long frames, long floats)
      : room(cuda,
             floats * static_cast<long>(sizeof(float)) > kMostShared ? floats * std::min(frames, kMostFrames) : 0) {
    grid.threads = kFrameThreads;
    grid.blocks = std::min(frames, room.data() ? kMostFrames : cuda::most_blocks);
    grid.shared = room.data() ? 0 : floats * static_cast<long>(sizeof(float));
  }
};

/// The tables of a transform on the device. An FftPlan keeps them in one piece.
struct DeviceTransform {
  cuda::Brought<float> values;
  spectral::FftTables<float> tables;

  static const float* begin(const spectral::FftTables<float>& t) { return t.stages > 0 ? t.stage[0].twiddle : t.split; }
  static long count(const spectral::FftTables<float>& t) {
    const float* end = t.split + (t.size % 2 == 0 ? 2 * (t.size / 4 + 1) : 0);
    return end - begin(t);
  }
  DeviceTransform(const Cuda& cuda, const spectral::FftTables<float>& host)
      : values(cuda, begin(host), count(host)), tables(host) {
    const auto moved = [&](const float* p) { return values.data() + (p - begin(host)); };
    for (int i = 0; i < tables.stages; ++i) {
      tables.stage[i].twiddle = moved(host.stage[i].twiddle);
      tables.stage[i].roots = moved(host.stage[i].roots);
    }
    tables.split = moved(host.split);
  }
};

struct DeviceAnalysis {
  DeviceTransform fft;
  cuda::Brought<float> window, weights;
  cuda::Brought<long> first, begin;
  Analysis tables;
  DeviceAnalysis(const Cuda& cuda, const Analysis& t)
      : fft(cuda, t.fft),
        window(cuda, t.window, t.length),
        weights(cuda, t.weights, t.bands > 0 ? t.begin[t.bands] : 0),
        first(cuda, t.first, t.bands),
        begin(cuda, t.begin, t.bands > 0 ? t.bands + 1 : 0),
        tables(t) {
    tables.fft = fft.tables;
    tables.window = window.data();
    tables.weights = weights.data();
    tables.first = first.data();
    tables.begin = begin.data();
  }
};
struct DeviceSynthesis {
  DeviceTransform fft;
  cuda::Brought<float> window, squares, envelope;
  Synthesis tables;
  DeviceSynthesis(const Cuda& cuda, const Synthesis& t)
      : fft(cuda, t.fft),
        window(cuda, t.window, t.length),
        squares(cuda, t.squares, t.length),
        envelope(cuda, t.inverse_envelope, t.hop),
        tables(t) {
    tables.fft = fft.tables;
    tables.window = window.data();
    tables.squares = squares.data();
    tables.inverse_envelope = envelope.data();
  }
};

// Loops over a frame, shared by the threads of its block.

template <class F>
__device__ __forceinline__ void each(long n, const F& f) {
  for (long i = threadIdx.x; i < n; i += blockDim.x) f(i);
  __syncthreads();
}
template <class F>
__device__ __forceinline__ float block_sum(long n, const F& f) {
  double total = 0;
  for (long i = threadIdx.x; i < n; i += blockDim.x) total += static_cast<double>(f(i));
  return static_cast<float>(cuda::block_reduce(total, cuda::Plus{}));
}

/// The windowed frame of samples x, padded with zeros to the size of the transform, in `to`; as spectral::shape_frame.
/// Returns its energy where that is a feature.
__device__ __forceinline__ float windowed_frame(const Analysis& t, const float* x, float* to) {
  const long n = t.length;
  const float c = t.preemphasis;
  const float mean = t.remove_mean ? block_sum(n, [&](long i) { return x[i]; }) / static_cast<float>(n) : 0.f;
  float energy = 0;
  if (t.energy == FrameEnergy::raw) energy = block_sum(n, [&](long i) { return (x[i] - mean) * (x[i] - mean); });
  const float share = mean - c * mean;
  each(t.fft.size, [&](long at) {
    const long i = at - t.offset;
    if (i < 0 || i >= n) to[at] = 0;
    else if (c != 0) to[at] = ((x[i] - c * x[i > 0 ? i - 1 : 0]) - share) * t.window[i];
    else to[at] = (x[i] - mean) * t.window[i];
  });
  if (t.energy == FrameEnergy::windowed)
    energy = block_sum(n, [&](long i) { return to[t.offset + i] * to[t.offset + i]; });
  return energy;
}
/// g = the gradient of the windowed frame -> that of the samples, in `to`; as spectral::unshape_gradient.
__device__ __forceinline__ void unshape(const Analysis& t, const float* g, float* to) {
  const long n = t.length;
  const float c = t.preemphasis;
  each(n, [&](long i) {
    float v = g[i] * t.window[i];
    if (c != 0 && i + 1 < n) v -= c * (g[i + 1] * t.window[i + 1]);
    if (c != 0 && i == 0) v -= c * (g[0] * t.window[0]);
    to[i] = v;
  });
}
__device__ __forceinline__ void remove_mean(const Analysis& t, float* g) {
  if (!t.remove_mean) return;
  const float mean = block_sum(t.length, [&](long i) { return g[i]; }) / static_cast<float>(t.length);
  each(t.length, [&](long i) { g[i] -= mean; });
}

__global__ void __launch_bounds__(kFrameThreads)
    analysis_kernel(Analysis t, View<const float, 2> x, const long* frames, View<float, 3> y, float* room) {
  float* const memory = frame_memory(room, t.room());
  float *const a = memory, *const b = a + t.fft.room(), *const p = b + t.fft.room();
  const long time = y.shape[1], columns = t.columns();
  for (long row = blockIdx.x; row < y.shape[0] * time; row += gridDim.x) {
    const long n = row / time, f = row % time;
    float* const to = y.data + n * y.stride[0] + f * y.stride[1];
    if (f >= (frames ? frames[n] : time)) {
      each(columns, [&](long c) { to[c] = 0; });
      continue;
    }
    const float energy = windowed_frame(t, x.row(n) + f * t.hop + t.offset, a);
    const float* spectrum = cuda::rfft(t.fft, a, b);
    if (t.spectrum == Spectrum::complex) {
      each(columns, [&](long c) { to[c] = spectrum[c]; });
      continue;
    }
    each(t.bins(),
         [&](long k) { p[k] = spectral::bin_value(t.spectrum, t.eps, spectrum[2 * k], spectrum[2 * k + 1]); });
    each(t.bands_or_bins(), [&](long c) {
      const float v = t.bands > 0 ? spectral::band_value(t, c, p) : p[c];
      to[t.feature_column() + c] = t.log ? spectral::log_feature(v, t.log_floor, t.log_scale) : v;
    });
    if (t.energy != FrameEnergy::none && threadIdx.x == 0)
      to[t.energy_column()] = spectral::log_feature(energy, t.energy_floor, 1.f);
  }
}

/// Gradients of the samples under each frame's window: frame (N, T, length).
__global__ void __launch_bounds__(kFrameThreads)
    analysis_backward_kernel(Analysis t, View<const float, 2> x, const long* frames, View<const float, 3> dy,
                             View<float, 3> gradient, float* room) {
  float* const memory = frame_memory(room, t.room());
  float *const a = memory, *const b = a + t.fft.room(), *const p = b + t.fft.room(), *const d = p + t.bins();
  const long time = dy.shape[1], bins = t.bins();
  for (long row = blockIdx.x; row < dy.shape[0] * time; row += gridDim.x) {
    const long n = row / time, f = row % time;
    if (f >= (frames ? frames[n] : time)) continue;
    const float* from = dy.data + n * dy.stride[0] + f * dy.stride[1];
    const float* samples = x.row(n) + f * t.hop + t.offset;
    float *to = &gradient(n, f, 0), *g = a;
    float d_energy = 0;
    if (t.spectrum == Spectrum::complex) {
      each(t.columns(), [&](long c) { a[c] = from[c]; });
    } else {
      const float energy = windowed_frame(t, samples, a);
      if (t.energy != FrameEnergy::none)
        d_energy = spectral::log_feature_slope(energy, t.energy_floor, 1.f, from[t.energy_column()]);
      g = cuda::rfft(t.fft, a, b);
      each(bins, [&](long k) { p[k] = spectral::bin_value(t.spectrum, t.eps, g[2 * k], g[2 * k + 1]); });
      each(t.bands_or_bins(), [&](long c) {
        const float v = t.bands > 0 && t.log ? spectral::band_value(t, c, p) : t.bands > 0 ? 0.f : p[c];
        const float dv = from[t.feature_column() + c];
        d[c] = t.log ? spectral::log_feature_slope(v, t.log_floor, t.log_scale, dv) : dv;
      });
      each(bins, [&](long k) {
        float total = t.bands > 0 ? 0.f : d[k];
        for (long band = 0; band < t.bands; ++band) {
          const long i = k - t.first[band];
          if (i >= 0 && i < t.begin[band + 1] - t.begin[band]) total += d[band] * t.weights[t.begin[band] + i];
        }
        const float slope = total * spectral::bin_slope(t.spectrum, t.eps, g[2 * k], g[2 * k + 1]);
        g[2 * k] *= slope;
        g[2 * k + 1] *= slope;
      });
    }
    each(bins, [&](long k) { spectral::scale_bin(t.fft, g, k, 1.f, 0.5f); });
    float* const h = cuda::irfft(t.fft, g, g == a ? b : a);
    float* const v = h == a ? b : a;
    if (t.energy == FrameEnergy::windowed) {
      windowed_frame(t, samples, v);
      each(t.length, [&](long i) { h[t.offset + i] += 2 * d_energy * v[t.offset + i]; });
    }
    unshape(t, h + t.offset, to);
    if (t.energy == FrameEnergy::raw) {
      each(t.length, [&](long i) { v[i] = samples[i]; });
      remove_mean(t, v);  // the same operation as on the samples
      each(t.length, [&](long i) { to[i] += 2 * d_energy * v[i]; });
    }
    remove_mean(t, to);
  }
}

/// Σ of the frames' values over sample p of the untrimmed signal, in their order.
template <class Tables>
__device__ __forceinline__ float overlap(const Tables& t, View<const float, 3> frame, long n, long count, long p) {
  const spectral::FrameRange range(t, count, p, p + 1);
  float total = 0;
  for (long f = range.first; f < range.last; ++f) total += frame(n, f, p - t.offset - f * t.hop);
  return total;
}

/// Windowed frames (N, T, length) from spectra.
__global__ void __launch_bounds__(kFrameThreads)
    synthesis_kernel(Synthesis t, View<const float, 3> x, const long* frames, View<float, 3> frame, float* room) {
  float* const memory = frame_memory(room, 2 * t.fft.room());
  float *const a = memory, *const b = a + t.fft.room();
  const long time = x.shape[1], bins = t.bins();
  for (long row = blockIdx.x; row < x.shape[0] * time; row += gridDim.x) {
    const long n = row / time, f = row % time;
    if (f >= (frames ? frames[n] : time)) continue;
    const float* from = x.data + n * x.stride[0] + f * x.stride[1];
    each(bins, [&](long k) {
      if (t.polar) {
        const float grown = math::exp(from[k]), r = grown < t.clip ? grown : t.clip;
        a[2 * k] = r * math::cos(from[bins + k]);
        a[2 * k + 1] = r * math::sin(from[bins + k]);
      } else {
        a[2 * k] = from[2 * k];
        a[2 * k + 1] = from[2 * k + 1];
      }
    });
    const float* v = cuda::irfft(t.fft, a, b) + t.offset;
    each(t.length, [&](long i) { frame(n, f, i) = v[i] * t.window[i]; });
  }
}

__global__ void __launch_bounds__(kFrameThreads)
    synthesis_backward_kernel(Synthesis t, View<const float, 3> x, const long* frames, View<const float, 2> dz,
                              Sink<float, 3> dx, float* room) {
  float* const memory = frame_memory(room, 2 * t.fft.room());
  float *const a = memory, *const b = a + t.fft.room();
  const long time = dx.shape[1], bins = t.bins();
  for (long row = blockIdx.x; row < dx.shape[0] * time; row += gridDim.x) {
    const long n = row / time, f = row % time;
    float* to = &dx(n, f, 0);
    if (f >= (frames ? frames[n] : time)) {
      each(t.columns(), [&](long c) {
        if (!dx.add) to[c] = 0;
      });
      continue;
    }
    const float* from = dz.row(n) + f * t.hop;
    each(t.fft.size, [&](long at) {
      const long i = at - t.offset;
      a[at] = i >= 0 && i < t.length ? from[at] * t.window[i] : 0.f;
    });
    float* g = cuda::rfft(t.fft, a, b);
    each(bins, [&](long k) { spectral::scale_bin(t.fft, g, k, 1.f, 2.f); });
    const float* polar = x.data + n * x.stride[0] + f * x.stride[1];
    each(bins, [&](long k) {
      if (t.polar) {
        const float r = math::exp(polar[k]), c = math::cos(polar[bins + k]), s = math::sin(polar[bins + k]);
        const float bounded = r < t.clip ? r : t.clip;
        cuda::put(to[k], r <= t.clip ? r * (g[2 * k] * c + g[2 * k + 1] * s) : 0.f, dx.add);
        cuda::put(to[bins + k], bounded * (g[2 * k + 1] * c - g[2 * k] * s), dx.add);
      } else {
        cuda::put(to[2 * k], g[2 * k], dx.add);
        cuda::put(to[2 * k + 1], g[2 * k + 1], dx.add);
      }
    });
  }
}

}  // namespace

long spectral_scratch(const Cuda&, const Analysis&) { return 0; }
long spectral_scratch(const Cuda&, const Synthesis&) { return 0; }

void analysis_forward(const Cuda& cuda, const Analysis& on_host, View<const float, 2> x, const long* frames,
                      View<float, 3> y, float*) {
  const long rows = y.shape[0] * y.shape[1];
  if (rows == 0) return;
  const DeviceAnalysis brought(cuda, on_host);
  const cuda::Brought<long> counts(cuda, frames, y.shape[0]);
  const FrameLaunch launch(cuda, rows, on_host.room());
  cuda::launch(cuda, "stft", launch.grid, analysis_kernel, brought.tables, x, counts.data(), y, launch.room.data());
}

void analysis_backward(const Cuda& cuda, const Analysis& on_host, View<const float, 2> x, const long* frames,
                       View<const float, 3> dy, Sink<float, 2> dx, float*) {
  const long batch = dy.shape[0], time = dy.shape[1], rows = batch * time;
  const cuda::Brought<long> counts(cuda, frames, batch);
  const long* count = counts.data();
  const cuda::Scratch<float> scratch(cuda, rows * on_host.length);
  const View<float, 3> gradient(scratch.data(), Shape<3>{batch, time, on_host.length});
  const DeviceAnalysis brought(cuda, on_host);
  const Analysis t = brought.tables;
  if (rows > 0) {
    const FrameLaunch launch(cuda, rows, on_host.room());
    cuda::launch(cuda, "stft", launch.grid, analysis_backward_kernel, t, x, count, dy, gradient, launch.room.data());
  }
  cuda::for_each_at(cuda, "stft", dx.shape[0], dx.shape[1], [=] __device__(long n, long s) {
    cuda::put(dx.row(n)[s], overlap(t, View<const float, 3>(gradient), n, count ? count[n] : time, s), dx.add);
  });
}

void synthesis_forward(const Cuda& cuda, const Synthesis& on_host, View<const float, 3> x, const long* frames,
                       const long* samples, View<float, 2> y, float*) {
  const long batch = x.shape[0], time = x.shape[1], rows = batch * time;
  const cuda::Brought<long> counts(cuda, frames, batch), limits(cuda, samples, batch);
  const long *count = counts.data(), *limit = limits.data();
  const cuda::Scratch<float> scratch(cuda, rows * on_host.length);
  const View<float, 3> frame(scratch.data(), Shape<3>{batch, time, on_host.length});
  const DeviceSynthesis brought(cuda, on_host);
  const Synthesis t = brought.tables;
  if (rows > 0) {
    const FrameLaunch launch(cuda, rows, 2 * t.fft.room());
    cuda::launch(cuda, "istft", launch.grid, synthesis_kernel, t, x, count, frame, launch.room.data());
  }
  cuda::for_each_at(cuda, "istft", y.shape[0], y.shape[1], [=] __device__(long n, long s) {
    const long all = count ? count[n] : time, p = s + t.trim;
    const bool real = !limit || s < limit[n];
    y.row(n)[s] =
        real ? overlap(t, View<const float, 3>(frame), n, all, p) * t.envelope_inverse(all, p, t.phase(p)) : 0.f;
  });
}

void synthesis_backward(const Cuda& cuda, const Synthesis& on_host, View<const float, 3> x, const long* frames,
                        View<const float, 2> dz, Sink<float, 3> dx, float*) {
  const long rows = dx.shape[0] * dx.shape[1];
  if (rows == 0) return;
  const DeviceSynthesis brought(cuda, on_host);
  const cuda::Brought<long> counts(cuda, frames, dx.shape[0]);
  const FrameLaunch launch(cuda, rows, 2 * on_host.fft.room());
  cuda::launch(cuda, "istft", launch.grid, synthesis_backward_kernel, brought.tables, x, counts.data(), dz, dx,
               launch.room.data());
}

void synthesis_unwindow(const Cuda& cuda, const Synthesis& on_host, View<const float, 2> dy, const long* frames,
                        long all_frames, const long* samples, View<float, 2> dz) {
  const DeviceSynthesis brought(cuda, on_host);
  const Synthesis t = brought.tables;
  const cuda::Brought<long> counts(cuda, frames, dz.shape[0]), limits(cuda, samples, dz.shape[0]);
  const long *count = counts.data(), *limit = limits.data();
  cuda::for_each_at(cuda, "istft", dz.shape[0], dz.shape[1], [=] __device__(long n, long p) {
    const long s = p - t.trim;
    const bool real = s >= 0 && s < (limit ? limit[n] : dy.shape[1]);
    dz.row(n)[p] = real ? dy.row(n)[s] * t.envelope_inverse(count ? count[n] : all_frames, p, t.phase(p)) : 0.f;
  });
}

}  // namespace phonaut::kernel
