// What kernels/cuda/native/fft.cu does with cuFFT, done by the host with the library's own transform. It is strict
// where cuFFT may give anything.
#include <algorithm>
#include <cstdint>
#include <limits>
#include <memory>
#include <tuple>
#include <vector>

#include "libraries.hpp"
#include "phonaut/core/error.hpp"
#include "phonaut/ops/fft_plan.hpp"
#include "plans.cuh"
#include "queue.hpp"
#include "runtime.cuh"

namespace phonaut {

namespace cuda {

namespace {

/// As cuFFT, which has a plan for every count of rows.
struct Problem {
  long n = 0, count = 0;
  bool back = false;
  bool operator<(const Problem& other) const {
    return std::tie(n, count, back) < std::tie(other.n, other.count, other.back);
  }
};

void transform(const Cuda& cuda, float* rows, const Problem& p) {
  check_captured(cuda, "a Fourier transform");
  if (p.n < 1 || p.count < 1 || reinterpret_cast<std::uintptr_t>(rows) % 8 != 0)
    throw Error(concat("emulator: cuFFT does not take ", p.count, " rows of size ", p.n, " at this address"));
  thread_local Plans<Problem, FftPlan<float>> plans(64);
  const auto plan = plans.get(p, "a Fourier transform wants a plan, which the first run did not make",
                              [&] { return std::make_shared<FftPlan<float>>(p.n); });
  emulator::queue(cuda, "a Fourier transform", [rows, p, plan] {
    const auto& tables = plan->tables();
    const long bins = tables.bins(), held = p.back ? 2 * bins : p.n, made = p.back ? p.n : 2 * bins;
    std::vector<float> a(static_cast<size_t>(tables.room())), b(a.size());
    for (long i = 0; i < p.count; ++i) {
      float* const row = rows + i * 2 * bins;
      std::copy_n(row, held, a.data());
      const bool real = row[1] == 0 && (p.n % 2 != 0 || row[2 * bins - 1] == 0);
      const float* result =
          p.back ? spectral::irfft(tables, a.data(), b.data()) : spectral::rfft(tables, a.data(), b.data());
      std::copy_n(result, made, row);
      if (p.back && !real) std::fill_n(row, p.n, std::numeric_limits<float>::quiet_NaN());
    }
  });
  ++emulator::libraries().transforms;
}

}  // namespace

void transform_rows(const Cuda& cuda, float* rows, long n, long count) { transform(cuda, rows, {n, count, false}); }
void transform_rows_back(const Cuda& cuda, float* rows, long n, long count) { transform(cuda, rows, {n, count, true}); }

}  // namespace cuda
}  // namespace phonaut
