#include "parallel.hpp"
#include "simd_math.hpp"
#include "vec.hpp"

#ifdef PHONAUT_ISA
#include <math.h>

namespace phonaut::kernel::PHONAUT_ISA {

/// Sum of the lanes, kept in double: dlog_scale adds terms of either sign over a whole batch.
PHONAUT_INLINE double wide_sum(Vec a) {
  alignas(64) float lane[Vec::lanes];
  a.store(lane);
  double total = 0;
  for (long i = 0; i < Vec::lanes; ++i) total += static_cast<double>(lane[i]);
  return total;
}

constexpr float floor_of_square = 1e-30f;  // kernel::bias_norm_floor
constexpr long rows_per_block = 64;        // kernel::bias_norm_rows_per_block

void bias_norm_forward(const Cpu& cpu, View<const float, 2> x, const float* bias, const float* log_scale,
                       View<float, 2> y, View<float, 1> rms) {
  const long width = x.shape[1], whole = width / Vec::lanes * Vec::lanes, rest = width - whole;
  const float scale = ::expf(*log_scale), per_width = 1.0f / static_cast<float>(width);
  parallel_rows(cpu.threads, x.shape[0], width, [&](long first, long last) PHONAUT_FORCE_INLINE {
    for (long row = first; row < last; ++row) {
      const float* from = x.row(row);
      Vec square(0.0f);
      for (long c = 0; c < whole; c += Vec::lanes) {
        const Vec d = Vec::load(from + c) - Vec::load(bias + c);
        square = fma(d, d, square);
      }
      if (rest) {  // both loads give zeros behind the end, and so does their difference
        const Vec d = Vec::load(from + whole, rest) - Vec::load(bias + whole, rest);
        square = fma(d, d, square);
      }
      const float mean = sum(square) * per_width;
      const float r = mean > floor_of_square ? 1.0f / ::sqrtf(mean) : 0.0f;
      rms.data[row] = r;
      const Vec factor(r * scale);
      float* to = y.row(row);
      for (long c = 0; c < whole; c += Vec::lanes) (Vec::load(from + c) * factor).store(to + c);
      if (rest) (Vec::load(from + whole, rest) * factor).store(to + whole, rest);
    }
  });
}

void bias_norm_backward(const Cpu& cpu, View<const float, 2> dy, View<const float, 2> x, const float* bias,
                        const float* log_scale, View<const float, 1> rms, Sink<float, 2> dx, Sink<float, 1> dbias,
                        Sink<float, 0> dlog_scale, View<float, 2> partial) {
  const long rows = x.shape[0], width = x.shape[1], whole = width / Vec::lanes * Vec::lanes, rest = width - whole;
  const float scale = ::expf(*log_scale), per_width = 1.0f / static_cast<float>(width);
  const long blocks = blocks_of(rows, rows_per_block);
  parallel_for(cpu.threads, blocks, [&](long block) {
    const long first = block * rows_per_block, last = first + rows_per_block < rows ? first + rows_per_block : rows;
    float* own = partial ? partial.row(block) : nullptr;
    double own_scale = 0;
    if (own)
      for (long c = 0; c < width; ++c) own[c] = 0.0f;
    for (long row = first; row < last; ++row) {
      const float* from = x.row(row);
      const float* g = dy.row(row);
      Vec dot(0.0f);
      for (long c = 0; c < whole; c += Vec::lanes) dot = fma(Vec::load(g + c), Vec::load(from + c), dot);
      if (rest) dot = fma(Vec::load(g + whole, rest), Vec::load(from + whole, rest), dot);
      const double all = wide_sum(dot);
      const float r = rms.data[row], h = static_cast<float>(all) * r * per_width;
      // e r (dy - z h), written with the factor of (x - bias) taken out of the loop.
      const Vec outer(scale * r), inner(scale * r * r * h);
      own_scale += all * static_cast<double>(r);
      const auto step = [&](Vec dyv, Vec d, long c, long n) PHONAUT_FORCE_INLINE {
        const Vec z = d * inner;
        if (dx) {
          const Vec v = fma(dyv, outer, -z);
          if (n == Vec::lanes) put(dx.row(row) + c, v, dx.add);
          else put(dx.row(row) + c, v, dx.add, n);
        }
        if (own) {
          if (n == Vec::lanes) put(own + c, z, true);
          else put(own + c, z, true, n);
        }
      };
      for (long c = 0; c < whole; c += Vec::lanes)
        step(Vec::load(g + c), Vec::load(from + c) - Vec::load(bias + c), c, Vec::lanes);
      if (rest)
        step(Vec::load(g + whole, rest), Vec::load(from + whole, rest) - Vec::load(bias + whole, rest), whole, rest);
    }
    if (own) own[width] = static_cast<float>(own_scale);
  });
  if (dbias)
    for (long c = 0; c < width; c += Vec::lanes) {
      const long n = width - c < Vec::lanes ? width - c : Vec::lanes;
      Vec total(0.0f);
      for (long b = 0; b < blocks; ++b)
        total += n == Vec::lanes ? Vec::load(partial.row(b) + c) : Vec::load(partial.row(b) + c, n);
      if (n == Vec::lanes) put(dbias.data + c, total, dbias.add);
      else put(dbias.data + c, total, dbias.add, n);
    }
  if (dlog_scale) {
    double total = 0;
    for (long b = 0; b < blocks; ++b) total += static_cast<double>(partial.row(b)[width]);
    dlog_scale.put(0, static_cast<float>(total * static_cast<double>(scale)));
  }
}

}  // namespace phonaut::kernel::PHONAUT_ISA
#else
#include "phonaut/ops/bias_norm.hpp"
#endif

PHONAUT_DISPATCH(bias_norm_forward,
                 (const Cpu& cpu, View<const float, 2> x, const float* bias, const float* log_scale, View<float, 2> y,
                  View<float, 1> rms),
                 (cpu, x, bias, log_scale, y, rms))
PHONAUT_DISPATCH(bias_norm_backward,
                 (const Cpu& cpu, View<const float, 2> dy, View<const float, 2> x, const float* bias,
                  const float* log_scale, View<const float, 1> rms, Sink<float, 2> dx, Sink<float, 1> dbias,
                  Sink<float, 0> dlog_scale, View<float, 2> partial),
                 (cpu, dy, x, bias, log_scale, rms, dx, dbias, dlog_scale, partial))
