// Spectra on Cuda, by cuFFT and by blocks: rows that are transformed, both ways for the same frames, and which is
// taken.
#include <algorithm>
#include <cmath>
#include <map>
#include <string>
#include <vector>

#include "check_case.hpp"
#include "floats.hpp"
#include "no_gpu.hpp"
#include "numbers.hpp"
#include "phonaut/ops/fft_plan.hpp"
#include "phonaut/ops/stft.hpp"
#include "runtime.cuh"
#include "spectral_way.hpp"
#include "way.hpp"
#ifdef PHONAUT_EMULATE_GPU
#include "libraries.hpp"
#endif

using namespace phonaut;
using namespace phonaut::testing;
using cuda::SpectralWay;

namespace {

/// `count` rows of the device that cuFFT may transform.
struct Rows : Floats {
  Rows(long size, long number, const std::vector<float>& from)
      : Floats(from), n(size), count(number), width(2 * (n / 2 + 1)) {}
  long n, count, width;
};

/// Values and the gradient of the samples, of spectra whose squares are added up.
struct Pass {
  std::vector<float> values, gradient;
};
template <class B>
Pass pass(B backend, const std::vector<float>& samples, const StftConfig& config) {
  Context<B> ctx(backend);
  ctx.train();
  const auto x = ctx.variable(input(ctx, Shape<2>{1, static_cast<long>(samples.size())}, samples).tensor());
  const auto y = spectrogram(x, config, Spectrum::power);
  const auto gradients = ctx.backward(sum(y));
  return {values_of(y), values_of(ctx, gradients[x])};
}

}  // namespace

TEST_CASE("rows are transformed in place, and back", "[spectra]") {
  if (no_gpu()) return;
  for (const long n : {2L, 3L, 8L, 15L, 96L, 127L, 1009L, 4096L, 6000L})
    for (const long count : {1L, 5L}) {
      INFO(count << " rows of " << n);
      const long width = 2 * (n / 2 + 1);
      const auto given = numbers(count * width, 1);
      Rows rows(n, count, given);
      cuda::transform_rows(Cuda{}, rows.memory.data(), n, count);
      const auto spectra = rows.values();
      // A large prime may leave rounding there, and on the way back it must be 0.
      auto real_ends = spectra;
      for (long r = 0; r < count; ++r) {
        real_ends[static_cast<size_t>(r * width + 1)] = 0;
        if (n % 2 == 0) real_ends[static_cast<size_t>(r * width + n + 1)] = 0;
      }
      assign(Cuda{}, rows.memory, real_ends);
      cuda::transform_rows_back(Cuda{}, rows.memory.data(), n, count);
      const auto back = rows.values();

      const FftPlan<double> plan(n);
      std::vector<double> a(static_cast<size_t>(plan.tables().room())), b(a.size());
      for (long r = 0; r < count; ++r) {
        const auto row = static_cast<size_t>(r * width);
        std::copy_n(given.data() + row, n, a.data());
        const double* want = spectral::rfft(plan.tables(), a.data(), b.data());
        double size = 0, off = 0, off_back = 0;
        for (long k = 0; k < width; ++k) {
          size += want[k] * want[k];
          off += std::pow(static_cast<double>(spectra[row + static_cast<size_t>(k)]) - want[k], 2);
        }
        double samples = 0;
        for (long i = 0; i < n; ++i) {
          const double x = given[row + static_cast<size_t>(i)];
          samples += x * x;
          off_back += std::pow(static_cast<double>(back[row + static_cast<size_t>(i)]) / static_cast<double>(n) - x, 2);
        }
        // A transform's norm errs by about sqrt(log2 n) roundings, one by Bluestein's algorithm, which cuFFT takes for
        // large primes, by those of three of twice the size: 5 · 6e-8 at most. There and back it is twice that.
        CHECK(std::sqrt(off / size) < 1e-6);
        CHECK(std::sqrt(off_back / samples) < 2e-6);
      }
    }
}

TEST_CASE("spectra by blocks and by cuFFT agree with double precision, whatever their size", "[spectra]") {
  if (no_gpu()) return;
  for (const SpectralWay way : {SpectralWay::own_kernel, SpectralWay::cufft}) {
    const cuda::Using used(way);
    std::map<std::string, long> checked;
    for (const Case& c : all_cases()) {
      const bool spectral = c.op == "stft" || c.op == "istft" ||
                            (c.op == "frontends" && (c.name.find("log-mel") == 0 || c.name.find("kaldi ") == 0));
      if (!spectral || !c.limits.check || c.name == "kaldi deltas") continue;
      INFO((way == SpectralWay::cufft ? "by cuFFT" : "by blocks"));
      ++checked[c.op];
#ifdef PHONAUT_EMULATE_GPU
      const long before = emulator::libraries().transforms;
#endif
      check_on_cuda(c);
#ifdef PHONAUT_EMULATE_GPU
      const bool large = c.name.find("6000") != std::string::npos || c.name.find("4374") != std::string::npos;
      CHECK((emulator::libraries().transforms > before) == (way == SpectralWay::cufft || large));
#endif
    }
    // A case that is called otherwise must not be lost.
    CHECK(checked["stft"] >= 40);
    CHECK(checked["istft"] >= 15);
    CHECK(checked["frontends"] >= 15);
  }
}

TEST_CASE("more frames than cuFFT's rows may take memory for are transformed piece by piece", "[spectra]") {
  if (no_gpu()) return;
  // 66 rows of a quarter of a megabyte, and half of that or the whole once more for what stands beside them.
  const StftConfig config{.n_fft = 1L << 16, .hop = 100, .centre = false};
  const auto samples = numbers(config.n_fft + 65 * config.hop, 1);
#ifdef PHONAUT_EMULATE_GPU
  const long before = emulator::libraries().transforms;
#endif
  const Pass got = pass(Cuda{}, samples, config), want = pass(Cpu{}, samples, config);
#ifdef PHONAUT_EMULATE_GPU
  CHECK(emulator::libraries().transforms == before + 2 + 2 * 3);  // the backward pass transforms there and back
#endif
  REQUIRE(got.values.size() == 66 * static_cast<size_t>(config.n_fft / 2 + 1));
  // Two transforms of 16 roundings of 6e-8, of both signs, each; powers double what is relative.
  CHECK(relative_error(got.values, want.values) < 2e-6);
  CHECK(relative_error(got.gradient, want.gradient) < 2e-6);
  const Pass again = pass(Cuda{}, samples, config);
  CHECK(again.values == got.values);
  CHECK(again.gradient == got.gradient);
}

#ifdef PHONAUT_EMULATE_GPU
TEST_CASE("what fits into shared memory stays there, unless it has large primes", "[spectra]") {
  for (const auto& [n, by_cufft] : std::vector<std::pair<long, bool>>{{400, false},
                                                                      {2048, false},
                                                                      {4096, true},
                                                                      {441, true},    // 3 · 3 · 7 · 7, odd
                                                                      {1764, false},  // 2 · 2 · 3 · 3 · 7 · 7
                                                                      {260, false},
                                                                      {272, true},  // 17
                                                                      {509, true}}) {
    INFO("size " << n);
    const long before = emulator::libraries().transforms;
    pass(Cuda{}, numbers(n + 100, 1), {.n_fft = n, .hop = 100, .centre = false});
    CHECK(emulator::libraries().transforms - before == (by_cufft ? 3 : 0));
  }
}

TEST_CASE("rows that cuFFT gives no meaning to become NaN or are refused on the emulated GPU", "[spectra]") {
  for (const long n : {6L, 7L}) {
    auto given = numbers(8, 1);
    given[1] = 0;  // imaginary at 0
    given[7] = n % 2 == 0 ? 0 : given[7];
    const Rows good(n, 1, given);
    cuda::transform_rows_back(Cuda{}, good.memory.data(), n, 1);
    CHECK(std::isfinite(good.values()[0]));
    given[n % 2 == 0 ? 7 : 1] = 1;
    const Rows bad(n, 1, given);
    cuda::transform_rows_back(Cuda{}, bad.memory.data(), n, 1);
    CHECK(std::isnan(bad.values()[0]));
    CHECK_THROWS_AS(cuda::transform_rows(Cuda{}, good.memory.data() + 1, n, 1), Error);
  }
}
#endif
