// From spectra to waveforms. As in spectral_analysis.cu, overlapping samples are added up by a second kernel.
#include "phonaut/ops/spectral_kernels.hpp"
#include "spectral_rows.cuh"

namespace phonaut::kernel {

namespace {

using cuda::Frame;
using cuda::FrameRows;
using cuda::Spectra;
using cuda::Synthesis;

struct DeviceSynthesis {
  cuda::DeviceTransform fft;
  cuda::Brought<float> window, squares, envelope;
  Synthesis tables;
  DeviceSynthesis(const Cuda& cuda, const Synthesis& t, bool in_blocks)
      : fft(cuda, t.fft, in_blocks),
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
/// Two buffers of a transform.
long shared_floats(const Synthesis& t) { return 2 * t.fft.room(); }

/// Of a frame that is padding.
__device__ __forceinline__ void clear(const Synthesis& t, const Sink<float, 3>& dx, const Frame& frame) {
  if (!dx.add) cuda::clear(t.columns(), cuda::columns_of(dx, frame));
}

// By blocks, in shared memory.

/// Windowed frames (N, T, length) from spectra.
__global__ void __launch_bounds__(cuda::frame_threads)
    synthesis_kernel(Synthesis t, FrameRows rows, View<const float, 3> x, View<float, 3> to) {
  PHONAUT_DYNAMIC_SHARED(float, memory);
  float *const a = memory, *const b = a + t.fft.room();
  cuda::each_frame(rows, [&](const Frame& frame) {
    if (!frame.real) return;
    cuda::put_spectrum(t, cuda::columns_of(x, frame), a);
    cuda::put_frame(t, cuda::irfft(t.fft, a, b), cuda::columns_of(to, frame));
  });
}
__global__ void __launch_bounds__(cuda::frame_threads)
    synthesis_backward_kernel(Synthesis t, FrameRows rows, View<const float, 3> x, View<const float, 2> dz,
                              Sink<float, 3> dx) {
  PHONAUT_DYNAMIC_SHARED(float, memory);
  float *const a = memory, *const b = a + t.fft.room();
  cuda::each_frame(rows, [&](const Frame& frame) {
    if (!frame.real) {
      clear(t, dx, frame);
      return;
    }
    cuda::put_frame_gradient(t, dz.row(frame.n) + frame.f * t.hop, a);
    cuda::put_input_gradient(t, cuda::columns_of(x, frame), cuda::rfft(t.fft, a, b), cuda::columns_of(dx, frame),
                             dx.add);
  });
}

// Around cuFFT.

__global__ void __launch_bounds__(cuda::frame_threads)
    spectrum_kernel(Synthesis t, FrameRows rows, View<const float, 3> x, Spectra spectra) {
  cuda::each_frame(rows, [&](const Frame& frame) {
    if (frame.real) cuda::put_spectrum(t, cuda::columns_of(x, frame), spectra.row(frame.row));
  });
}
__global__ void __launch_bounds__(cuda::frame_threads)
    frame_kernel(Synthesis t, FrameRows rows, Spectra spectra, View<float, 3> to) {
  cuda::each_frame(rows, [&](const Frame& frame) {
    if (frame.real) cuda::put_frame(t, spectra.row(frame.row), cuda::columns_of(to, frame));
  });
}
__global__ void __launch_bounds__(cuda::frame_threads)
    frame_gradient_kernel(Synthesis t, FrameRows rows, View<const float, 2> dz, Spectra spectra) {
  cuda::each_frame(rows, [&](const Frame& frame) {
    if (frame.real) cuda::put_frame_gradient(t, dz.row(frame.n) + frame.f * t.hop, spectra.row(frame.row));
  });
}
__global__ void __launch_bounds__(cuda::frame_threads)
    input_gradient_kernel(Synthesis t, FrameRows rows, View<const float, 3> x, Spectra spectra, Sink<float, 3> dx) {
  cuda::each_frame(rows, [&](const Frame& frame) {
    if (!frame.real) clear(t, dx, frame);
    else
      cuda::put_input_gradient(t, cuda::columns_of(x, frame), spectra.row(frame.row), cuda::columns_of(dx, frame),
                               dx.add);
  });
}

}  // namespace

long spectral_scratch(const Cuda&, const Synthesis&) { return 0; }

void synthesis_forward(const Cuda& cuda, const Synthesis& on_host, View<const float, 3> x, const long* frames,
                       const long* samples, View<float, 2> y, float*) {
  const long batch = x.shape[0], time = x.shape[1], floats = shared_floats(on_host);
  const bool in_blocks = cuda::transforms_in_blocks(on_host.fft, floats);
  const DeviceSynthesis brought(cuda, on_host, in_blocks);
  const Synthesis t = brought.tables;
  const cuda::Brought<long> counts(cuda, frames, batch), limits(cuda, samples, batch);
  const long *const count = counts.data(), *const limit = limits.data();
  const FrameRows all{time, count, 0, batch * time};
  const cuda::Scratch<float> scratch(cuda, batch * time * t.length);
  const View<float, 3> frame(scratch.data(), Shape<3>{batch, time, t.length});
  if (all.last > 0 && in_blocks) {
    cuda::launch(cuda, "istft", cuda::frame_grid(all, floats), synthesis_kernel, t, all, x, frame);
  } else if (all.last > 0) {
    const cuda::SpectraMemory memory(cuda, t.fft.size, all, 0);
    memory.for_each_piece(all, [&](const auto& piece) {
      const cuda::Grid grid = cuda::frame_grid(piece.frames);
      cuda::launch(cuda, "istft", grid, spectrum_kernel, t, piece.frames, x, piece.spectra);
      piece.transform_back();
      cuda::launch(cuda, "istft", grid, frame_kernel, t, piece.frames, piece.spectra, frame);
    });
  }
  cuda::for_each_at(cuda, "istft", y.shape[0], y.shape[1], [=] __device__(long n, long s) {
    const long real = count ? count[n] : time, p = s + t.trim;
    y.row(n)[s] = !limit || s < limit[n] ? cuda::overlap(t, View<const float, 3>(frame), n, real, p) *
                                               t.envelope_inverse(real, p, t.phase(p))
                                         : 0.f;
  });
}

void synthesis_backward(const Cuda& cuda, const Synthesis& on_host, View<const float, 3> x, const long* frames,
                        View<const float, 2> dz, Sink<float, 3> dx, float*) {
  const long batch = dx.shape[0], time = dx.shape[1], floats = shared_floats(on_host);
  if (batch * time == 0) return;
  const bool in_blocks = cuda::transforms_in_blocks(on_host.fft, floats);
  const DeviceSynthesis brought(cuda, on_host, in_blocks);
  const Synthesis& t = brought.tables;
  const cuda::Brought<long> counts(cuda, frames, batch);
  const FrameRows all{time, counts.data(), 0, batch * time};
  if (in_blocks) {
    cuda::launch(cuda, "istft", cuda::frame_grid(all, floats), synthesis_backward_kernel, t, all, x, dz, dx);
    return;
  }
  const cuda::SpectraMemory memory(cuda, t.fft.size, all, 0);
  memory.for_each_piece(all, [&](const auto& piece) {
    const cuda::Grid grid = cuda::frame_grid(piece.frames);
    cuda::launch(cuda, "istft", grid, frame_gradient_kernel, t, piece.frames, dz, piece.spectra);
    piece.transform();
    cuda::launch(cuda, "istft", grid, input_gradient_kernel, t, piece.frames, x, piece.spectra, dx);
  });
}

void synthesis_unwindow(const Cuda& cuda, const Synthesis& on_host, View<const float, 2> dy, const long* frames,
                        long all_frames, const long* samples, View<float, 2> dz) {
  const DeviceSynthesis brought(cuda, on_host, false);
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
