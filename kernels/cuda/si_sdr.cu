#include "phonaut/losses/si_sdr.hpp"

#include "elementwise.cuh"
#include "reduce.cuh"

namespace phonaut::kernel {

void si_sdr_forward(const Cuda& cuda, bool zero_mean, double epsilon, View<const float, 2> estimate,
                    View<const float, 2> reference, const long* lengths, float* y, View<double, 2> sums) {
  const long all = estimate.shape[1];
  const cuda::Brought<long> brought(cuda, lengths, estimate.shape[0]);
  const long* real = brought.data();
  cuda::for_each_row(cuda, "si_sdr", estimate.shape[0], all, [=] __device__(const cuda::Team& team, long n) {
    const long length = real ? real[n] : all;
    const float *e = estimate.row(n), *r = reference.row(n);
    const auto sum_of = [&](const auto& f) {
      cuda::Sums<2> total{};
      for (long i = team.rank; i < length; i += team.size)
        total = total + f(static_cast<double>(e[i]), static_cast<double>(r[i]));
      return team.sum(total);
    };
    double mean_e = 0, mean_r = 0;
    if (zero_mean && length > 0) {
      const cuda::Sums<2> means = sum_of([](double a, double b) { return cuda::Sums<2>{{a, b}}; });
      mean_e = means.of[0] / static_cast<double>(length);
      mean_r = means.of[1] / static_cast<double>(length);
    }
    const cuda::Sums<2> products = sum_of([&](double a, double b) {
      return cuda::Sums<2>{{(a - mean_e) * (b - mean_r), (b - mean_r) * (b - mean_r)}};
    });
    const double gain = (products.of[0] + epsilon) / (products.of[1] + epsilon);
    const cuda::Sums<2> energies = sum_of([&](double a, double b) {
      const double scaled = gain * (b - mean_r), apart = scaled - (a - mean_e);
      return cuda::Sums<2>{{scaled * scaled, apart * apart}};
    });
    if (team.rank != 0) return;
    const double u = energies.of[0] + epsilon, v = energies.of[1] + epsilon;
    y[n] = static_cast<float>(4.342944819032518 * (math::log(u) - math::log(v)));
    const double row[5] = {mean_e, mean_r, gain, u, v};
    for (int i = 0; i < 5; ++i) sums.row(n)[i] = row[i];
  });
}

void si_sdr_backward(const Cuda& cuda, bool zero_mean, double epsilon, const float* dy, View<const float, 2> estimate,
                     View<const float, 2> reference, const long* lengths, View<const double, 2> sums,
                     Sink<float, 2> de) {
  const long all = estimate.shape[1];
  const cuda::Brought<long> brought(cuda, lengths, estimate.shape[0]);
  const long* real = brought.data();
  cuda::for_each_row(cuda, "si_sdr", estimate.shape[0], all, [=] __device__(const cuda::Team& team, long n) {
    const long length = real ? real[n] : all;
    const double* s = sums.row(n);
    const auto ref = [&](long i) { return static_cast<double>(reference.row(n)[i]) - s[1]; };
    const auto apart = [&](long i) { return s[2] * ref(i) - (static_cast<double>(estimate.row(n)[i]) - s[0]); };
    cuda::Sums<2> products{};
    for (long i = team.rank; i < length; i += team.size)
      products = products + cuda::Sums<2>{{ref(i) * ref(i), apart(i) * ref(i)}};
    products = team.sum(products);
    const double gain = 8.685889638065036 * static_cast<double>(dy[n]);
    const double of_ref = gain * (s[2] * products.of[0] / s[3] - products.of[1] / s[4]) / (products.of[0] + epsilon);
    const double of_apart = gain / s[4];
    const auto slope = [&](long i) { return of_ref * ref(i) + of_apart * apart(i); };
    double mean = 0;
    if (zero_mean && length > 0) {
      for (long i = team.rank; i < length; i += team.size) mean += slope(i);
      mean = team.sum(mean) / static_cast<double>(length);
    }
    for (long i = team.rank; i < all; i += team.size)
      cuda::put(de.row(n)[i], i < length ? static_cast<float>(slope(i) - mean) : 0.f, de.add);
  });
}

}  // namespace phonaut::kernel
