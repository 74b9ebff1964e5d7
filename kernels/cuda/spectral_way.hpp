#pragma once

namespace phonaut::cuda {

/// How frames come to their spectra (way.hpp).
enum class SpectralWay {
  by_size,     ///< whichever promises to be quicker (see spectral_rows.cuh)
  own_kernel,  ///< a block per frame, from samples to features, wherever the frame fits into shared memory
  cufft        ///< cuFFT between two kernels
};

}  // namespace phonaut::cuda
