#pragma once
// Frames in the lanes of registers: sixteen (or eight, or four) of them go through the same arithmetic together.
// Getting them in and out is a transposition of small tiles.
#include "phonaut/ops/formula/spectral_frames.hpp"
#include "simd_math.hpp"

#ifdef PHONAUT_ISA
namespace phonaut::kernel::PHONAUT_ISA {

/// Transposes Vec::lanes registers.
PHONAUT_INLINE void transpose(Vec (&v)[Vec::lanes]) {
#if defined(__AVX512F__)
  // Four stages, each of which interleaves pairs of registers that are 1, 2, 4, 8 apart.
  __m512 a[16], b[16];
  for (int i = 0; i < 16; i += 2) {
    a[i] = _mm512_unpacklo_ps(v[i].v, v[i + 1].v);
    a[i + 1] = _mm512_unpackhi_ps(v[i].v, v[i + 1].v);
  }
  for (int i = 0; i < 16; i += 4)
    for (int j = 0; j < 2; ++j) {
      const __m512d p = _mm512_castps_pd(a[i + j]), q = _mm512_castps_pd(a[i + j + 2]);
      b[i + 2 * j] = _mm512_castpd_ps(_mm512_unpacklo_pd(p, q));
      b[i + 2 * j + 1] = _mm512_castpd_ps(_mm512_unpackhi_pd(p, q));
    }
  // b[4 g + c] holds columns c, c + 4, c + 8, c + 12 of rows 4 g … 4 g + 3.
  for (int i = 0; i < 16; i += 8)
    for (int c = 0; c < 4; ++c) {
      a[i + c] = _mm512_shuffle_f32x4(b[i + c], b[i + c + 4], 0x88);
      a[i + c + 4] = _mm512_shuffle_f32x4(b[i + c], b[i + c + 4], 0xdd);
    }
  for (int c = 0; c < 4; ++c) {
    v[c] = Vec::Batch(_mm512_shuffle_f32x4(a[c], a[c + 8], 0x88));
    v[c + 8] = Vec::Batch(_mm512_shuffle_f32x4(a[c], a[c + 8], 0xdd));
    v[c + 4] = Vec::Batch(_mm512_shuffle_f32x4(a[c + 4], a[c + 12], 0x88));
    v[c + 12] = Vec::Batch(_mm512_shuffle_f32x4(a[c + 4], a[c + 12], 0xdd));
  }
#elif defined(__AVX2__)
  __m256 a[8], b[8];
  for (int i = 0; i < 8; i += 2) {
    a[i] = _mm256_unpacklo_ps(v[i].v, v[i + 1].v);
    a[i + 1] = _mm256_unpackhi_ps(v[i].v, v[i + 1].v);
  }
  for (int i = 0; i < 8; i += 4)
    for (int j = 0; j < 2; ++j) {
      b[i + 2 * j] = _mm256_shuffle_ps(a[i + j], a[i + j + 2], 0x44);
      b[i + 2 * j + 1] = _mm256_shuffle_ps(a[i + j], a[i + j + 2], 0xee);
    }
  for (int c = 0; c < 4; ++c) {
    v[c] = Vec::Batch(_mm256_permute2f128_ps(b[c], b[c + 4], 0x20));
    v[c + 4] = Vec::Batch(_mm256_permute2f128_ps(b[c], b[c + 4], 0x31));
  }
#elif defined(__SSE2__)
  __m128 a = v[0].v, b = v[1].v, c = v[2].v, d = v[3].v;
  _MM_TRANSPOSE4_PS(a, b, c, d);
  v[0] = Vec::Batch(a), v[1] = Vec::Batch(b), v[2] = Vec::Batch(c), v[3] = Vec::Batch(d);
#else
  float lane[Vec::lanes][Vec::lanes];
  for (long i = 0; i < Vec::lanes; ++i) v[i].store(lane[i]);
  for (long i = 0; i < Vec::lanes; ++i)
    for (long j = 0; j < i; ++j) {
      const float swap = lane[i][j];
      lane[i][j] = lane[j][i];
      lane[j][i] = swap;
    }
  for (long i = 0; i < Vec::lanes; ++i) v[i] = Vec::load(lane[i]);
#endif
}

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
