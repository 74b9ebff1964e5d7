// What kernels/cuda/native does by cuBLASLt and cuDNN, done by the host on the emulator's memory.
#include <algorithm>
#include <bit>
#include <cstdint>
#include <vector>

#include "libraries.hpp"
#include "phonaut/core/error.hpp"
#include "queue.hpp"
#include "runtime.cuh"

namespace phonaut {

namespace cuda {

using emulator::queue;

namespace {

/// The nearest number with `digits` binary digits behind the first, as tensor cores see a factor: of two that are as
/// near, the one further from zero in TensorFloat-32 (cvt.rna.tf32), the even one in bfloat16 (cvt.rn.bf16).
float rounded(float x, int digits, bool ties_to_even) {
  auto bits = std::bit_cast<std::uint32_t>(x);
  if ((bits & 0x7f800000u) == 0x7f800000u) return x;  // infinite, or no number
  const int cut = 23 - digits;
  const std::uint32_t half = 1u << (cut - 1), last = (bits >> cut) & 1u;
  bits += ties_to_even ? half - 1 + last : half;
  return std::bit_cast<float>(bits >> cut << cut);
}
float factor(float x, Precision precision) {
  if (precision == Precision::tf32) return rounded(x, 10, false);
  if (precision == Precision::bf16) return rounded(x, 7, true);
  return x;
}

void multiply(const kernel::Gemm<float>& g, Precision precision) {
  // Factors once, row by row: what a sum reads lies together.
  const auto size = [](long rows, long columns) { return static_cast<std::size_t>(rows * columns); };
  std::vector<float> a(size(g.m, g.k)), b(size(g.n, g.k));
  for (long batch = 0; batch < g.batch; ++batch) {
    for (long i = 0; i < g.m; ++i)
      for (long p = 0; p < g.k; ++p)
        a[size(i, g.k) + static_cast<std::size_t>(p)] =
            factor(g.a[batch * g.a_batch + i * g.a_row + p * g.a_col], precision);
    for (long j = 0; j < g.n; ++j)
      for (long p = 0; p < g.k; ++p)
        b[size(j, g.k) + static_cast<std::size_t>(p)] =
            factor(g.b[batch * g.b_batch + p * g.b_row + j * g.b_col], precision);
    for (long i = 0; i < g.m; ++i)
      for (long j = 0; j < g.n; ++j) {
        float total = 0;
        const float *left = a.data() + size(i, g.k), *right = b.data() + size(j, g.k);
        for (long p = 0; p < g.k; ++p) total += left[p] * right[p];
        float& to = g.c[batch * g.c_batch + i * g.c_row + j];
        if (g.add) total += to;
        if (g.bias) total += g.bias[j];
        to = g.activation == kernel::Activation::relu ? std::max(total, 0.f) : total;
      }
  }
}

/// Factors of a convolution are rounded less than a product's in bf16: to TensorFloat-32.
void convolve_frames(const Convolution& c, Precision precision, float* x, float* w, float* y) {
  using Pass = Convolution::Pass;
  const Precision used = precision == Precision::bf16 ? Precision::tf32 : precision;
  const auto at_x = [&](long n, long t, long tap) -> float& {
    return x[n * c.x_batch + (t * c.stride + tap * c.dilation) * c.x_frame];
  };
  const auto times = [&](float& to, float left, float right) { to += factor(left, used) * factor(right, used); };
  if (!c.add) {
    for (long n = 0; n < c.batch && c.pass == Pass::forward; ++n)
      for (long t = 0; t < c.frames; ++t) std::fill_n(y + n * c.y_batch + t * c.y_frame, c.out, 0.f);
    for (long n = 0; n < c.batch && c.pass == Pass::data; ++n)
      for (long t = 0; t < c.frames_seen(); ++t) std::fill_n(x + n * c.x_batch + t * c.x_frame, c.in, 0.f);
    if (c.pass == Pass::filter) std::fill_n(w, c.out * c.taps * c.in, 0.f);
  }
  for (long n = 0; n < c.batch; ++n)
    for (long t = 0; t < c.frames; ++t)
      for (long o = 0; o < c.out; ++o)
        for (long tap = 0; tap < c.taps; ++tap) {
          float* const seen = &at_x(n, t, tap);
          float* const weight = w + (o * c.taps + tap) * c.in;
          float& result = y[n * c.y_batch + t * c.y_frame + o];
          for (long i = 0; i < c.in; ++i) {
            if (c.pass == Pass::forward) times(result, seen[i], weight[i]);
            else if (c.pass == Pass::data) times(seen[i], result, weight[i]);
            else times(weight[i], result, seen[i]);
          }
        }
}

}  // namespace

bool matrix_product(const Cuda& cuda, const kernel::Gemm<float>& g) {
  using emulator::Unknown;
  const Unknown unknown = emulator::libraries().unknown_products;
  const bool relu = g.activation == kernel::Activation::relu;
  if (!relu && g.activation != kernel::Activation::none)
    throw ConfigError("emulator: cuBLASLt is asked for an activation that it has not got");
  if (unknown == Unknown::all || (unknown == Unknown::with_epilogue && (g.bias || relu))) return false;
  queue(cuda, "a matrix product", [g, precision = cuda.precision] { multiply(g, precision); });
  ++emulator::libraries().products;
  return true;
}

bool convolve(const Cuda& cuda, const Convolution& c, float* x, float* w, float* y) {
  if (emulator::libraries().unknown_convolutions) return false;
  queue(cuda, "a convolution", [=, precision = cuda.precision] { convolve_frames(c, precision, x, w, y); });
  ++emulator::libraries().convolutions;
  return true;
}

}  // namespace cuda
}  // namespace phonaut
