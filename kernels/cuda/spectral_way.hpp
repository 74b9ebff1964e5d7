#pragma once
// How frames come to their spectra on CUDA. For tests and benchmarks, which hold one way against the other.

namespace phonaut::cuda {

enum class SpectralWay {
  by_size,     ///< whichever promises to be quicker (see spectral_rows.cuh)
  own_kernel,  ///< a block per frame, from samples to features, wherever the frame fits into shared memory
  cufft        ///< cuFFT between two kernels
};

/// What the calling thread's next transforms do.
inline SpectralWay& spectral_way() {
  thread_local SpectralWay way = SpectralWay::by_size;
  return way;
}

/// Another way while it lives.
class UsingSpectralWay {
 public:
  explicit UsingSpectralWay(SpectralWay way) : before_(spectral_way()) { spectral_way() = way; }
  UsingSpectralWay(const UsingSpectralWay&) = delete;
  UsingSpectralWay& operator=(const UsingSpectralWay&) = delete;
  ~UsingSpectralWay() { spectral_way() = before_; }

 private:
  SpectralWay before_;
};

}  // namespace phonaut::cuda
