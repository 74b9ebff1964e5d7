#pragma once
// What a block does with a frame on either side of its transform, whoever computes that. All threads must come, and
// what a function writes is there for all of them when it returns.
#include "elementwise.cuh"
#include "phonaut/ops/formula/spectral_frames.hpp"
#include "reduce.cuh"

namespace phonaut::cuda {

using spectral::FrameEnergy;
using spectral::Spectrum;
using Analysis = spectral::Analysis<float>;
using Synthesis = spectral::Synthesis<float>;

/// Rows first … last-1 of the frames (N, time) of a batch.
struct FrameRows {
  long time = 0;
  const long* counts = nullptr;  ///< real frames of each utterance; null if all have `time`
  long first = 0, last = 0;
};
/// One of them: frame f of utterance n.
struct Frame {
  long n, f, row;  ///< row: behind the first
  bool real;
};

/// f(frame) for all rows, a block for each at a time.
template <class F>
__device__ __forceinline__ void each_frame(const FrameRows& rows, const F& f) {
  for (long row = rows.first + blockIdx.x; row < rows.last; row += gridDim.x) {
    const long n = row / rows.time, t = row - n * rows.time;
    f(Frame{n, t, row - rows.first, t < (rows.counts ? rows.counts[n] : rows.time)});
  }
}

/// What a tensor (N, time, columns) has of it.
template <class T>
__device__ __forceinline__ T* columns_of(const View<T, 3>& y, const Frame& frame) {
  return y.data + frame.n * y.stride[0] + frame.f * y.stride[1];
}

// Loops over a frame, shared by the threads of its block.

template <class F>
__device__ __forceinline__ void each(long n, const F& f) {
  for (long i = threadIdx.x; i < n; i += blockDim.x) f(i);
  __syncthreads();
}
__device__ __forceinline__ void clear(long n, float* to) {
  each(n, [&](long i) { to[i] = 0; });
}
template <class F>
__device__ __forceinline__ float block_sum(long n, const F& f) {
  double total = 0;
  for (long i = threadIdx.x; i < n; i += blockDim.x) total += static_cast<double>(f(i));
  return static_cast<float>(block_reduce(total, Plus{}));
}

// Samples x under the window of a frame, as spectral::shape_frame has them.

/// Of the samples, where it is removed; else 0.
__device__ __forceinline__ float frame_mean(const Analysis& t, const float* x) {
  return t.remove_mean ? block_sum(t.length, [&](long i) { return x[i]; }) / static_cast<float>(t.length) : 0.f;
}
__device__ __forceinline__ float windowed_sample(const Analysis& t, const float* x, float mean, long i) {
  const float c = t.preemphasis;
  if (c == 0) return (x[i] - mean) * t.window[i];
  return ((x[i] - c * x[i > 0 ? i - 1 : 0]) - (mean - c * mean)) * t.window[i];
}
/// Where it is a feature.
__device__ __forceinline__ float frame_energy(const Analysis& t, const float* x, float mean) {
  return block_sum(t.length, [&](long i) {
    const float v = t.energy == FrameEnergy::raw ? x[i] - mean : windowed_sample(t, x, mean, i);
    return v * v;
  });
}
/// What is transformed: the windowed frame, with zeros around it.
__device__ __forceinline__ void put_windowed(const Analysis& t, const float* x, float* to) {
  const float mean = frame_mean(t, x);
  each(t.fft.size, [&](long at) {
    const long i = at - t.offset;
    to[at] = i >= 0 && i < t.length ? windowed_sample(t, x, mean, i) : 0.f;
  });
}

/// The columns of the result from samples x and their spectrum. p (bins) is memory.
__device__ __forceinline__ void put_features(const Analysis& t, const float* x, const float* spectrum, float* p,
                                             float* to) {
  if (t.spectrum == Spectrum::complex) {
    each(t.columns(), [&](long c) { to[c] = spectrum[c]; });
    return;
  }
  each(t.bins(), [&](long k) { p[k] = spectral::bin_value(t.spectrum, t.eps, spectrum[2 * k], spectrum[2 * k + 1]); });
  each(t.bands_or_bins(), [&](long c) {
    const float v = t.bands > 0 ? spectral::band_value(t, c, p) : p[c];
    to[t.feature_column() + c] = t.log ? spectral::log_feature(v, t.log_floor, t.log_scale) : v;
  });
  if (t.energy == FrameEnergy::none) return;
  const float energy = frame_energy(t, x, frame_mean(t, x));
  if (threadIdx.x == 0) to[t.energy_column()] = spectral::log_feature(energy, t.energy_floor, 1.f);
}

/// The gradient `from` of the columns -> that of the spectrum g, in its place, as the inverse transform wants it. p
/// (bins + bands_or_bins) is memory, which complex spectra do without.
__device__ __forceinline__ void put_spectrum_gradient(const Analysis& t, const float* from, float* g, float* p) {
  const long bins = t.bins();
  if (t.spectrum == Spectrum::complex) {
    each(t.columns(), [&](long c) { g[c] = from[c]; });
  } else {
    float* const d = p + bins;
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
}

/// g: the gradient of what was transformed, as the inverse transform gives it, and `from`, that of the columns -> that
/// of the samples x. Overwrites g. As spectral::unshape_gradient.
__device__ __forceinline__ void put_sample_gradient(const Analysis& t, const float* x, const float* from, float* g,
                                                    float* to) {
  const long n = t.length;
  const float c = t.preemphasis;
  float mean = 0, d_energy = 0;
  if (t.energy != FrameEnergy::none) {
    mean = frame_mean(t, x);
    const float energy = frame_energy(t, x, mean);
    d_energy = spectral::log_feature_slope(energy, t.energy_floor, 1.f, from[t.energy_column()]);
  }
  g += t.offset;
  if (t.energy == FrameEnergy::windowed)
    each(n, [&](long i) { g[i] += 2 * d_energy * windowed_sample(t, x, mean, i); });
  each(n, [&](long i) {
    float v = g[i] * t.window[i];
    if (c != 0 && i + 1 < n) v -= c * (g[i + 1] * t.window[i + 1]);
    if (c != 0 && i == 0) v -= c * (g[0] * t.window[0]);
    to[i] = t.energy == FrameEnergy::raw ? v + 2 * d_energy * (x[i] - mean) : v;
  });
  if (!t.remove_mean) return;
  const float removed = block_sum(n, [&](long i) { return to[i]; }) / static_cast<float>(n);
  each(n, [&](long i) { to[i] -= removed; });
}

/// What is transformed back: the spectrum that stands in `from`, or in its magnitudes and phases.
__device__ __forceinline__ void put_spectrum(const Synthesis& t, const float* from, float* to) {
  const long bins = t.bins();
  each(bins, [&](long k) {
    if (t.polar) {
      const float grown = math::exp(from[k]), r = grown < t.clip ? grown : t.clip;
      to[2 * k] = r * math::cos(from[bins + k]);
      to[2 * k + 1] = r * math::sin(from[bins + k]);
    } else {
      to[2 * k] = from[2 * k];
      to[2 * k + 1] = from[2 * k + 1];
    }
    spectral::scale_bin(t.fft, to, k, 1.f, 1.f);  // nothing imaginary at 0 and Nyquist
  });
}
/// v: what was transformed back -> the windowed frame.
__device__ __forceinline__ void put_frame(const Synthesis& t, const float* v, float* to) {
  each(t.length, [&](long i) { to[i] = v[t.offset + i] * t.window[i]; });
}

/// `from`: the gradient of the signal where the frame begins -> that of what was transformed back.
__device__ __forceinline__ void put_frame_gradient(const Synthesis& t, const float* from, float* to) {
  each(t.fft.size, [&](long at) {
    const long i = at - t.offset;
    to[at] = i >= 0 && i < t.length ? from[at] * t.window[i] : 0.f;
  });
}
/// g: its transform -> the gradient of x, spectra or magnitudes and phases.
__device__ __forceinline__ void put_input_gradient(const Synthesis& t, const float* x, float* g, float* to, bool add) {
  const long bins = t.bins();
  each(bins, [&](long k) {
    spectral::scale_bin(t.fft, g, k, 1.f, 2.f);
    const float re = g[2 * k], im = g[2 * k + 1];
    if (t.polar) {
      const float r = math::exp(x[k]), c = math::cos(x[bins + k]), s = math::sin(x[bins + k]);
      const float bounded = r < t.clip ? r : t.clip;
      put(to[k], r <= t.clip ? r * (re * c + im * s) : 0.f, add);
      put(to[bins + k], bounded * (im * c - re * s), add);
    } else {
      put(to[2 * k], re, add);
      put(to[2 * k + 1], im, add);
    }
  });
}

/// Σ of the frames' values over sample p of the untrimmed signal, in their order.
template <class Tables>
__device__ __forceinline__ float overlap(const Tables& t, View<const float, 3> frame, long n, long count, long p) {
  const spectral::FrameRange range(t, count, p, p + 1);
  float total = 0;
  for (long f = range.first; f < range.last; ++f) total += frame(n, f, p - t.offset - f * t.hop);
  return total;
}

}  // namespace phonaut::cuda
