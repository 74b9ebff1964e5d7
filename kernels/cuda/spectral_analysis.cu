// From waveforms to spectra and features. What frames have in common on the way back, the overlapping samples, is added
// up by a second kernel in which each sample looks up its frames.
#include "phonaut/ops/spectral_kernels.hpp"
#include "spectral_rows.cuh"

namespace phonaut::kernel {

namespace {

using cuda::Analysis;
using cuda::Frame;
using cuda::FrameRows;
using cuda::Spectra;
using spectral::Spectrum;

struct DeviceAnalysis {
  cuda::DeviceTransform fft;
  cuda::Brought<float> window, weights;
  cuda::Brought<long> first, begin;
  Analysis tables;
  DeviceAnalysis(const Cuda& cuda, const Analysis& t, bool in_blocks)
      : fft(cuda, t.fft, in_blocks),
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

/// Waveforms, and where their frames are.
struct Samples {
  View<const float, 2> x;
  __device__ __forceinline__ const float* of(const Analysis& t, const Frame& frame) const {
    return x.row(frame.n) + frame.f * t.hop + t.offset;
  }
};

// By blocks, in shared memory.

__global__ void __launch_bounds__(cuda::frame_threads)
    analysis_kernel(Analysis t, FrameRows rows, Samples x, View<float, 3> y) {
  PHONAUT_DYNAMIC_SHARED(float, memory);
  float *const a = memory, *const b = a + t.fft.room(), *const p = b + t.fft.room();
  cuda::each_frame(rows, [&](const Frame& frame) {
    float* const to = cuda::columns_of(y, frame);
    if (!frame.real) {
      cuda::clear(t.columns(), to);
      return;
    }
    const float* const samples = x.of(t, frame);
    cuda::put_windowed(t, samples, a);
    cuda::put_features(t, samples, cuda::rfft(t.fft, a, b), p, to);
  });
}
/// Gradients of the samples under each frame's window: `gradient` (N, T, length).
__global__ void __launch_bounds__(cuda::frame_threads)
    analysis_backward_kernel(Analysis t, FrameRows rows, Samples x, View<const float, 3> dy, View<float, 3> gradient) {
  PHONAUT_DYNAMIC_SHARED(float, memory);
  float *const a = memory, *const b = a + t.fft.room(), *const p = b + t.fft.room();
  cuda::each_frame(rows, [&](const Frame& frame) {
    if (!frame.real) return;
    const float *const from = cuda::columns_of(dy, frame), *const samples = x.of(t, frame);
    float* g = a;
    if (t.spectrum != Spectrum::complex) {
      cuda::put_windowed(t, samples, a);
      g = cuda::rfft(t.fft, a, b);
    }
    cuda::put_spectrum_gradient(t, from, g, p);
    g = cuda::irfft(t.fft, g, g == a ? b : a);
    cuda::put_sample_gradient(t, samples, from, g, cuda::columns_of(gradient, frame));
  });
}

// Around cuFFT.

__global__ void __launch_bounds__(cuda::frame_threads)
    windowed_kernel(Analysis t, FrameRows rows, Samples x, Spectra spectra) {
  cuda::each_frame(rows, [&](const Frame& frame) {
    if (frame.real) cuda::put_windowed(t, x.of(t, frame), spectra.row(frame.row));
  });
}
__global__ void __launch_bounds__(cuda::frame_threads)
    features_kernel(Analysis t, FrameRows rows, Samples x, Spectra spectra, View<float, 3> y) {
  cuda::each_frame(rows, [&](const Frame& frame) {
    float* const to = cuda::columns_of(y, frame);
    if (!frame.real) cuda::clear(t.columns(), to);
    else cuda::put_features(t, x.of(t, frame), spectra.row(frame.row), spectra.rest_of(frame.row), to);
  });
}
__global__ void __launch_bounds__(cuda::frame_threads)
    spectrum_gradient_kernel(Analysis t, FrameRows rows, View<const float, 3> dy, Spectra spectra) {
  cuda::each_frame(rows, [&](const Frame& frame) {
    if (frame.real)
      cuda::put_spectrum_gradient(t, cuda::columns_of(dy, frame), spectra.row(frame.row), spectra.rest_of(frame.row));
  });
}
__global__ void __launch_bounds__(cuda::frame_threads)
    sample_gradient_kernel(Analysis t, FrameRows rows, Samples x, View<const float, 3> dy, Spectra spectra,
                           View<float, 3> gradient) {
  cuda::each_frame(rows, [&](const Frame& frame) {
    if (frame.real)
      cuda::put_sample_gradient(t, x.of(t, frame), cuda::columns_of(dy, frame), spectra.row(frame.row),
                                cuda::columns_of(gradient, frame));
  });
}

}  // namespace

long spectral_scratch(const Cuda&, const Analysis&) { return 0; }

void analysis_forward(const Cuda& cuda, const Analysis& on_host, View<const float, 2> x, const long* frames,
                      View<float, 3> y, float*) {
  const long batch = y.shape[0], time = y.shape[1], floats = on_host.room();
  if (batch * time == 0) return;
  const bool in_blocks = cuda::transforms_in_blocks(on_host.fft, floats);
  const DeviceAnalysis brought(cuda, on_host, in_blocks);
  const Analysis& t = brought.tables;
  const cuda::Brought<long> counts(cuda, frames, batch);
  const FrameRows all{time, counts.data(), 0, batch * time};
  const Samples samples{x};
  if (in_blocks) {
    cuda::launch(cuda, "stft", cuda::frame_grid(all, floats), analysis_kernel, t, all, samples, y);
    return;
  }
  const cuda::SpectraMemory memory(cuda, t.fft.size, all, t.spectrum == Spectrum::complex ? 0 : t.bins());
  memory.for_each_piece(all, [&](const auto& piece) {
    const cuda::Grid grid = cuda::frame_grid(piece.frames);
    cuda::launch(cuda, "stft", grid, windowed_kernel, t, piece.frames, samples, piece.spectra);
    piece.transform();
    cuda::launch(cuda, "stft", grid, features_kernel, t, piece.frames, samples, piece.spectra, y);
  });
}

void analysis_backward(const Cuda& cuda, const Analysis& on_host, View<const float, 2> x, const long* frames,
                       View<const float, 3> dy, Sink<float, 2> dx, float*) {
  const long batch = dy.shape[0], time = dy.shape[1], floats = on_host.room();
  const bool in_blocks = cuda::transforms_in_blocks(on_host.fft, floats);
  const DeviceAnalysis brought(cuda, on_host, in_blocks);
  const Analysis t = brought.tables;
  const cuda::Brought<long> counts(cuda, frames, batch);
  const long* const count = counts.data();
  const FrameRows all{time, count, 0, batch * time};
  const Samples samples{x};
  const cuda::Scratch<float> scratch(cuda, batch * time * t.length);
  const View<float, 3> gradient(scratch.data(), Shape<3>{batch, time, t.length});
  if (all.last > 0 && in_blocks) {
    cuda::launch(cuda, "stft", cuda::frame_grid(all, floats), analysis_backward_kernel, t, all, samples, dy, gradient);
  } else if (all.last > 0) {
    const bool complex = t.spectrum == Spectrum::complex;
    const cuda::SpectraMemory memory(cuda, t.fft.size, all, complex ? 0 : t.bins() + t.bands_or_bins());
    memory.for_each_piece(all, [&](const auto& piece) {
      const cuda::Grid grid = cuda::frame_grid(piece.frames);
      if (!complex) {
        cuda::launch(cuda, "stft", grid, windowed_kernel, t, piece.frames, samples, piece.spectra);
        piece.transform();
      }
      cuda::launch(cuda, "stft", grid, spectrum_gradient_kernel, t, piece.frames, dy, piece.spectra);
      piece.transform_back();
      cuda::launch(cuda, "stft", grid, sample_gradient_kernel, t, piece.frames, samples, dy, piece.spectra, gradient);
    });
  }
  cuda::for_each_at(cuda, "stft", dx.shape[0], dx.shape[1], [=] __device__(long n, long s) {
    cuda::put(dx.row(n)[s], cuda::overlap(t, View<const float, 3>(gradient), n, count ? count[n] : time, s), dx.add);
  });
}

}  // namespace phonaut::kernel
