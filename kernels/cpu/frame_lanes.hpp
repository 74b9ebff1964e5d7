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
#if defined(__AVX512F__)
    if (rows == count && width == 4) return gather_4<true>(x, step, width, to);
    if (rows == count && width == 8) return gather_8<true>(x, step, width, to);
    if (rows == count && width < 8)
      return width < 4 ? gather_4<false>(x, step, width, to) : gather_8<false>(x, step, width, to);
#endif
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

 private:
#if defined(__AVX512F__)
  // Short rows: several of them to a register, which saves most of the transposition. `whole`: as many numbers as fit,
  // which are loaded without a mask: the prefetcher of Zen 5 does not follow masked loads.

  /// Sixteen rows of up to 4 numbers.
  template <bool whole>
  PHONAUT_INLINE static void gather_4(const float* x, long step, long width, Vec* to) {
    __m512 a[4], b[4];  // a[i]: rows i, 4 + i, 8 + i, 12 + i
    const __mmask8 some = static_cast<__mmask8>((1u << width) - 1u);
#pragma GCC unroll 4
    for (int i = 0; i < 4; ++i) {
      const auto row = [&](int j) PHONAUT_FORCE_INLINE {
        const float* from = x + (4 * j + i) * step;
        return whole ? _mm_loadu_ps(from) : _mm_maskz_loadu_ps(some, from);
      };
      a[i] = _mm512_castps128_ps512(row(0));
      a[i] = _mm512_insertf32x4(a[i], row(1), 1);
      a[i] = _mm512_insertf32x4(a[i], row(2), 2);
      a[i] = _mm512_insertf32x4(a[i], row(3), 3);
    }
#pragma GCC unroll 2
    for (long i = 0; i < 2; ++i) {
      b[2 * i] = _mm512_unpacklo_ps(a[2 * i], a[2 * i + 1]);
      b[2 * i + 1] = _mm512_unpackhi_ps(a[2 * i], a[2 * i + 1]);
    }
    store_columns(b[0], b[2], 0, width, to);
    store_columns(b[1], b[3], 2, width, to);
  }
  /// Sixteen rows of up to 8 numbers.
  template <bool whole>
  PHONAUT_INLINE static void gather_8(const float* x, long step, long width, Vec* to) {
    __m512 a[8], b[8];  // a[i]: rows i and 8 + i
    const __mmask8 some = static_cast<__mmask8>((1u << width) - 1u);
#pragma GCC unroll 8
    for (int i = 0; i < 8; ++i) {
      const auto row = [&](int j) PHONAUT_FORCE_INLINE {
        const float* from = x + (8 * j + i) * step;
        return whole ? _mm256_loadu_ps(from) : _mm256_maskz_loadu_ps(some, from);
      };
      a[i] = _mm512_insertf32x8(_mm512_castps256_ps512(row(0)), row(1), 1);
    }
#pragma GCC unroll 4
    for (long i = 0; i < 4; ++i) {
      b[2 * i] = _mm512_unpacklo_ps(a[2 * i], a[2 * i + 1]);
      b[2 * i + 1] = _mm512_unpackhi_ps(a[2 * i], a[2 * i + 1]);
    }
    // Columns c and 4 + c of four rows each, side by side in every half, then brought together from both fours of rows.
    const __m512i low = _mm512_set_epi64(13, 12, 5, 4, 9, 8, 1, 0), high = _mm512_set_epi64(15, 14, 7, 6, 11, 10, 3, 2);
    Vec pair[4][2];
#pragma GCC unroll 2
    for (long i = 0; i < 2; ++i) {
      store_columns(b[i], b[2 + i], 0, 2, pair[2 * i]);
      store_columns(b[4 + i], b[6 + i], 0, 2, pair[2 * i + 1]);
    }
#pragma GCC unroll 4
    for (long c = 0; c < 4; ++c) {
      const __m512d first = _mm512_castps_pd(pair[c / 2 * 2][c % 2].v.data);
      const __m512d second = _mm512_castps_pd(pair[c / 2 * 2 + 1][c % 2].v.data);
      to[c] = Vec::Batch(_mm512_castpd_ps(_mm512_permutex2var_pd(first, low, second)));
      if (4 + c < width) to[4 + c] = Vec::Batch(_mm512_castpd_ps(_mm512_permutex2var_pd(first, high, second)));
    }
  }
  /// Two columns from pairs of rows that are interleaved already.
  PHONAUT_INLINE static void store_columns(__m512 even, __m512 odd, long first, long width, Vec* to) {
    const __m512d x = _mm512_castps_pd(even), y = _mm512_castps_pd(odd);
    if (first < width) to[first] = Vec::Batch(_mm512_castpd_ps(_mm512_unpacklo_pd(x, y)));
    if (first + 1 < width) to[first + 1] = Vec::Batch(_mm512_castpd_ps(_mm512_unpackhi_pd(x, y)));
  }
#endif
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
