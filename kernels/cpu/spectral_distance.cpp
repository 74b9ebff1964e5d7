#include "rows.hpp"
#include "scratch.hpp"
#include "simd_math.hpp"

#ifdef PHONAUT_ISA
#include "phonaut/ops/formula/spectral_distance.hpp"

namespace phonaut::kernel::PHONAUT_ISA {

void spectral_distance_sums(const Cpu& cpu, const SpectralTerms& terms, View<const float, 3> x, View<const float, 3> y,
                            const long* lengths, double* sums) {
  const long width = x.shape[2], time = x.shape[1], rows = x.shape[0] * time;
  const bool logs = terms.any_log();
  const long per_block = elements_per_block / (width > 0 ? width : 1) + 1, blocks = blocks_of(rows, per_block);
  // One partial result per block, in double; 64 bytes apart, so that no two threads write to the same cache line.
  constexpr long stride = 8;
  double* const partial = reinterpret_cast<double*>(kernel::scratch(Scratch::kernel, blocks * stride * 2));
  parallel_for(cpu.threads, blocks, [&](long block) {
    double* const own = partial + block * stride;
    for (long i = 0; i < stride; ++i) own[i] = 0;
    const long last = (block + 1) * per_block < rows ? (block + 1) * per_block : rows;
    for (long r = block * per_block; r < last; ++r) {
      if (!real_row(r, time, lengths)) continue;
      const float *const a = x.data + r * width, *const b = y.data + r * width;
      Vec difference(0.0f), square(0.0f), norm(0.0f), log_distance(0.0f), log_square(0.0f);
      along(width, [&](long i, auto n) PHONAUT_FORCE_INLINE {
        const Vec p = load(a + i, n), q = load(b + i, n), d = p - q;
        difference += abs(d);  // lanes behind the row are zero in both
        square = fma(d, d, square);
        norm = fma(q, q, norm);
        if (logs) {
          const Vec l = terms.log.difference(p, q);
          log_distance += abs(l);
          log_square = fma(l, l, log_square);
        }
      });
      const double row = static_cast<double>(sum(log_square));
      own[0] += static_cast<double>(sum(difference));
      own[1] += static_cast<double>(sum(log_distance));
      own[2] += row;
      own[3] += static_cast<double>(sum(square));
      own[4] += static_cast<double>(sum(norm));
      own[5] += __builtin_sqrt(row / static_cast<double>(width));
    }
  });
  for (long i = 0; i < spectral_sums; ++i) sums[i] = 0;
  for (long block = 0; block < blocks; ++block)
    for (long i = 0; i < spectral_sums; ++i) sums[i] += partial[block * stride + i];
}

void spectral_distance_backward(const Cpu& cpu, const SpectralTerms& terms, const float* f, View<const float, 3> x,
                                View<const float, 3> y, const long* lengths, Sink<float, 3> dx, Sink<float, 3> dy) {
  const long width = x.shape[2], time = x.shape[1];
  const bool logs = terms.any_log();
  parallel_rows(cpu.threads, x.shape[0] * time, width, [&](long first, long last) {
    for (long r = first; r < last; ++r) {
      const float *const a = x.data + r * width, *const b = y.data + r * width;
      float *const da = dx ? dx.data + r * width : nullptr, *const db = dy ? dy.data + r * width : nullptr;
      if (!real_row(r, time, lengths)) {
        along(width, [&](long i, auto n) PHONAUT_FORCE_INLINE {
          if (da && !dx.add) store(da + i, Vec(0.0f), n);
          if (db && !dy.add) store(db + i, Vec(0.0f), n);
        });
        continue;
      }
      float root = 0;
      if (terms.log_root != 0) {
        Vec total(0.0f);
        along(width, [&](long i, auto n) PHONAUT_FORCE_INLINE {
          const Vec l = terms.log.difference(load(a + i, n), load(b + i, n));
          total = fma(l, l, total);
        });
        const float squares = sum(total);
        if (squares > 0) root = f[5] / __builtin_sqrtf(squares * static_cast<float>(width));
      }
      const Vec f0(f[0]), f1(f[1]), twice_f3(2 * f[3]), twice_f4(2 * f[4]), per_log(2 * f[2] + root);
      along(width, [&](long i, auto n) PHONAUT_FORCE_INLINE {
        const Vec p = load(a + i, n), q = load(b + i, n), d = p - q;
        const Vec linear = fma(f0, formula::sign_of(d), twice_f3 * d);
        Vec log_part(0.0f);
        if (logs) {
          const Vec l = terms.log.difference(p, q);
          log_part = fma(f1, formula::sign_of(l), per_log * l);
        }
        if (da) put(da + i, logs ? fma(log_part, terms.log.slope(p), linear) : linear, dx.add, n);
        if (db) put(db + i, fma(twice_f4, q, -linear) - (logs ? log_part * terms.log.slope(q) : Vec(0.0f)), dy.add, n);
      });
    }
  });
}

}  // namespace phonaut::kernel::PHONAUT_ISA
#else
#include "phonaut/ops/spectral_distance.hpp"
#endif

PHONAUT_DISPATCH(spectral_distance_sums,
                 (const Cpu& cpu, const SpectralTerms& terms, View<const float, 3> x, View<const float, 3> y,
                  const long* lengths, double* sums),
                 (cpu, terms, x, y, lengths, sums))
PHONAUT_DISPATCH(spectral_distance_backward,
                 (const Cpu& cpu, const SpectralTerms& terms, const float* f, View<const float, 3> x,
                  View<const float, 3> y, const long* lengths, Sink<float, 3> dx, Sink<float, 3> dy),
                 (cpu, terms, f, x, y, lengths, dx, dy))
