// The Fourier transform against the sum that defines it, for sizes of every kind.
#include "phonaut/ops/fft_plan.hpp"

#include <complex>
#include <limits>

#include "catch.hpp"
#include "phonaut/core/random.hpp"

using namespace phonaut;

namespace {

/// Largest error of the transform and of the way back, relative to the largest value.
template <class T>
double error_at(long n) {
  const FftPlan<T> plan(n);
  const auto& fft = plan.tables();
  const Draws draws = Random{static_cast<std::uint64_t>(n), 0}.take(n);
  std::vector<T> a(static_cast<size_t>(fft.room())), b = a;
  std::vector<double> x(static_cast<size_t>(n));
  for (size_t i = 0; i < x.size(); ++i)
    a[i] = static_cast<T>(x[i] = static_cast<float>(draws.normal(static_cast<long>(i))));
  T* const spectrum = spectral::rfft(fft, a.data(), b.data());
  double error = 0, scale = 0;
  for (long k = 0; k < plan.bins(); ++k) {
    std::complex<double> want = 0;
    for (long i = 0; i < n; ++i)
      want += x[static_cast<size_t>(i)] *
              std::polar(1.0, -2 * M_PI * static_cast<double>(k * i % n) / static_cast<double>(n));
    error = std::max(error, std::abs(want - std::complex<double>(spectrum[2 * k], spectrum[2 * k + 1])));
    scale = std::max(scale, std::abs(want));
  }
  T* const back = spectral::irfft(fft, spectrum, spectrum == a.data() ? b.data() : a.data());
  double back_error = 0, largest = 0;
  for (size_t i = 0; i < x.size(); ++i) {
    back_error = std::max(back_error, std::fabs(static_cast<double>(back[i]) / static_cast<double>(n) - x[i]));
    largest = std::max(largest, std::fabs(x[i]));
  }
  return std::max(error / scale, back_error / largest);
}

}  // namespace

TEST_CASE("real transforms of any size equal the defining sum, and their inverse undoes them", "[fft]") {
  std::vector<long> sizes;
  for (long n = 1; n <= 130; ++n) sizes.push_back(n);
  for (long n : {200, 256, 275, 400, 480, 512, 551, 600, 882, 1024, 1103, 1200, 2018, 2048}) sizes.push_back(n);
  for (long n : sizes) {
    INFO("size " << n);
    // Each of the log2(n) stages rounds a few times; a prime radix adds as many terms as it has.
    CHECK(error_at<float>(n) < 16 * std::numeric_limits<float>::epsilon());
    CHECK(error_at<double>(n) < 64 * std::numeric_limits<double>::epsilon());
  }
}

TEST_CASE("a transform of nothing is refused", "[fft]") { CHECK_THROWS_AS(FftPlan<float>(0), ConfigError); }
