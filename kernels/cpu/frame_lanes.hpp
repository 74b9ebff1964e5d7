#pragma once
// Frames in the lanes of registers: sixteen (or eight, or four) of them go through the same arithmetic together.
// Getting them in and out is a transposition of small tiles.
#include "phonaut/ops/formula/spectral_frames.hpp"
#include "simd_math.hpp"

#ifdef PHONAUT_ISA
namespace phonaut::kernel::PHONAUT_ISA {

/// See spectral_frames.hpp. Frames beyond `rows` are zero in their lanes, and are not written.
struct FrameLanes {
  using Lane = Vec;
  static constexpr long count = Vec::lanes;

  [[gnu::noinline]] static void gather(const float* x, long step, long rows, long width, Vec* to) {
    Vec tile[count];
    for (long c = 0; c < width; c += count) {
      const long n = width - c;
      for (long j = 0; j < count; ++j)
        tile[j] = j >= rows ? Vec(0.0f) : n >= count ? Vec::load(x + j * step + c) : Vec::load(x + j * step + c, n);
      transpose(tile);
      for (long i = 0; i < count && i < n; ++i) to[c + i] = tile[i];
    }
  }
  [[gnu::noinline]] static void scatter(const Vec* from, long rows, long width, float* y, long step, bool add) {
    Vec tile[count];
    for (long c = 0; c < width; c += count) {
      const long n = width - c;
      for (long i = 0; i < count; ++i) tile[i] = i < n ? from[c + i] : Vec(0.0f);
      transpose(tile);
      for (long j = 0; j < rows; ++j) {
        if (n >= count) put(y + j * step + c, tile[j], add);
        else put(y + j * step + c, tile[j], add, n);
      }
    }
  }
};

/// One copy of each transform for all the kernels of a file: they are long.
struct LaneTransforms {
  [[gnu::noinline]] static Vec* forward(const spectral::FftTables<float>& fft, Vec* a, Vec* b) {
    return spectral::rfft(fft, a, b);
  }
  [[gnu::noinline]] static Vec* inverse(const spectral::FftTables<float>& fft, Vec* a, Vec* b) {
    return spectral::irfft(fft, a, b);
  }
};

}  // namespace phonaut::kernel::PHONAUT_ISA
#endif
