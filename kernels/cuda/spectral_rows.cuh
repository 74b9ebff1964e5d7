#pragma once
// The two ways of a batch of frames to their spectra and back. In the first a block transforms its frame itself, so
// that samples become features in one launch. In the other one kernel writes what is transformed into rows, cuFFT
// transforms them and a second kernel goes on from there.
#include <bit>

#include "fft.cuh"
#include "spectral_frames.cuh"
#include "spectral_way.hpp"
#include "way.hpp"

namespace phonaut::cuda {

constexpr long frame_threads = 128;
/// Bytes of shared memory that a block's frame may take.
constexpr long most_shared = 40 * 1024;
/// Bytes of the rows that cuFFT transforms at a time. It may want as much again to work in, which together stays in the
/// L2 cache of an A100 (40 MiB) or H100 (50 MiB) between the kernels; or a few times that for large primes.
constexpr long most_rows_memory = 16L << 20;

/// Whether blocks transform frames themselves, for which they need `floats` of shared memory each. By size, they do so
/// where these fit and large prime factors cost no more than the way of cuFFT. What follows is counted, not measured. A
/// factor r without a butterfly of its own costs r terms for each complex point, and a term about 40 instructions: 8 of
/// floating point, the loads of two complex numbers, the turn of the root. The rows that cuFFT needs besides are
/// written and read twice, 16 bytes for each sample, which on an A100 or H100, that have 10 instructions for each byte
/// from memory, are worth 160 of them. Two more launches and a kernel that reads its samples while others compute count
/// for as much again, which makes 8 terms for each sample. So of even sizes 7 · 7, 11 and 13 stay here, 17 and above go
/// to cuFFT.
inline bool transforms_in_blocks(const spectral::FftTables<float>& fft, long floats) {
  const bool fits = floats * static_cast<long>(sizeof(float)) <= most_shared;
  long terms = 0;
  for (int i = 0; i < fft.stages; ++i)
    if (fft.stage[i].radix > 5) terms += fft.stage[i].radix;
  switch (way<SpectralWay>()) {
    case SpectralWay::own_kernel:
      return fits;
    case SpectralWay::cufft:
      return false;
    case SpectralWay::by_size:
      break;
  }
  return fits && terms * fft.points <= 8 * fft.size;
}

/// A block for each frame, up to what fills any GPU; `floats` of shared memory.
inline Grid frame_grid(const FrameRows& rows, long floats = 0) {
  return {std::min(rows.last - rows.first, most_blocks), frame_threads, 1, floats * static_cast<long>(sizeof(float))};
}

/// A kernel's view of the rows that cuFFT transforms: each has room for samples or their spectrum, and `rest` floats
/// more elsewhere.
struct Spectra {
  float* data;
  long width;
  float* more;
  long rest;
  __device__ __forceinline__ float* row(long r) const { return data + r * width; }
  __device__ __forceinline__ float* rest_of(long r) const { return more + r * rest; }
};

/// Memory for cuFFT's rows, as many at a time as it may have.
class SpectraMemory {
 public:
  SpectraMemory(const Cuda& cuda, long n, const FrameRows& all, long rest)
      : cuda_(cuda),
        n_(n),
        rest_(rest),
        count_(std::min(planned(all.last - all.first), most(n, rest))),
        rows_(cuda, count_ * width()),
        more_(cuda, count_ * rest) {}

  /// Some of the frames, with rows for them.
  class Piece {
   public:
    FrameRows frames;
    Spectra spectra;
    void transform() const { transform_rows(cuda_, spectra.data, n_, count_); }
    void transform_back() const { transform_rows_back(cuda_, spectra.data, n_, count_); }

   private:
    friend SpectraMemory;
    Piece(const FrameRows& frames_, const Spectra& spectra_, const Cuda& cuda, long n, long count)
        : frames(frames_), spectra(spectra_), cuda_(cuda), n_(n), count_(count) {}
    const Cuda& cuda_;
    long n_, count_;
  };

  /// f(piece) for pieces that are all frames together.
  template <class F>
  void for_each_piece(const FrameRows& all, const F& f) const {
    for (long first = all.first; first < all.last; first += count_) {
      const FrameRows frames{all.time, all.counts, first, std::min(first + count_, all.last)};
      f(Piece(frames, Spectra{rows_.data(), width(), more_.data(), rest_}, cuda_, n_,
              std::min(planned(frames.last - first), count_)));
    }
  }

 private:
  long width() const { return 2 * (n_ / 2 + 1); }
  static long most(long n, long rest) {
    return std::max(1L, most_rows_memory / ((n + 2 + rest) * static_cast<long>(sizeof(float))));
  }
  /// cuFFT has a plan for each count, and batches come with all of them. So the count is the next one whose binary
  /// digits behind the third are zeros: few plans, for at most a quarter of rows more that nobody reads.
  static long planned(long count) {
    const int zeros = std::max(0, static_cast<int>(std::bit_width(static_cast<unsigned long>(count))) - 3);
    return ((count - 1) >> zeros << zeros) + (1L << zeros);
  }

  const Cuda& cuda_;
  long n_, rest_, count_;
  Scratch<float> rows_, more_;
};

/// The tables of a transform on the device, where blocks need them. An FftPlan keeps them in one piece.
struct DeviceTransform {
  Brought<float> values;
  spectral::FftTables<float> tables;

  static const float* begin(const spectral::FftTables<float>& t) { return t.stages > 0 ? t.stage[0].twiddle : t.split; }
  static long count(const spectral::FftTables<float>& t) {
    const float* end = t.split + (t.size % 2 == 0 ? 2 * (t.size / 4 + 1) : 0);
    return end - begin(t);
  }
  DeviceTransform(const Cuda& cuda, const spectral::FftTables<float>& host, bool needed)
      : values(cuda, begin(host), needed ? count(host) : 0), tables(host) {
    const auto moved = [&](const float* p) { return needed ? values.data() + (p - begin(host)) : nullptr; };
    for (int i = 0; i < tables.stages; ++i) {
      tables.stage[i].twiddle = moved(host.stage[i].twiddle);
      tables.stage[i].roots = moved(host.stage[i].roots);
    }
    tables.split = moved(host.split);
  }
};

}  // namespace phonaut::cuda
