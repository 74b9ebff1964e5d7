#include "phonaut/ops/epps_pulley.hpp"

#include "elementwise.cuh"
#include "phonaut/losses/sliced_wasserstein.hpp"
#include "reduce.cuh"

namespace phonaut::kernel {

void characteristic_sums(const Cuda& cuda, long knots, double step, View<const float, 2> p, View<double, 2> cosine,
                         View<double, 2> sine) {
  constexpr int kKnots = 8;  // at once, two sums for each
  for (long first = 0; first < knots; first += kKnots)
    cuda::reduce_columns<2 * kKnots>(
        cuda, "epps_pulley", p.shape[0], p.shape[1],
        [=] __device__(long n, long m) {
          cuda::Sums<2 * kKnots> one{};
          for (int k = 0; k < kKnots && first + k < knots; ++k) {
            const float angle = static_cast<float>(step * static_cast<double>(first + k)) * p.row(n)[m];
            one.of[2 * k] = static_cast<double>(math::cos(angle));
            one.of[2 * k + 1] = static_cast<double>(math::sin(angle));
          }
          return one;
        },
        [=] __device__(long m, const cuda::Sums<2 * kKnots>& total) {
          for (int k = 0; k < kKnots && first + k < knots; ++k) {
            cosine.row(first + k)[m] = total.of[2 * k];
            sine.row(first + k)[m] = total.of[2 * k + 1];
          }
        });
}

void epps_pulley(const Cuda& cuda, const EppsPulley& on_host, double total, double gain, View<double, 2> cosine,
                 View<double, 2> sine, float* statistic) {
  const EppsPulley test = on_host;
  const double inverse = total > 0 ? 1 / total : 0;
  cuda::for_each(cuda, "epps_pulley", cosine.shape[1], [=] __device__(long m) {
    double sum = 0;
    for (long k = 0; k < test.knots; ++k) {
      const double c = inverse * cosine.row(k)[m] - test.window(k), s = inverse * sine.row(k)[m];
      const double weight = test.weight(k);
      sum += weight * (c * c + s * s);
      cosine.row(k)[m] = gain * weight * test.at(k) * s;
      sine.row(k)[m] = -gain * weight * test.at(k) * c;
    }
    statistic[m] = static_cast<float>(total * sum);
  });
}

void characteristic_slopes(const Cuda& cuda, long knots, double step, View<const double, 2> a, View<const double, 2> b,
                           View<float, 2> p) {
  cuda::for_each_at(cuda, "epps_pulley", p.shape[0], p.shape[1], [=] __device__(long n, long m) {
    double total = 0;
    for (long k = 1; k < knots; ++k) {  // t_0 = 0 has no slope
      const float angle = static_cast<float>(step * static_cast<double>(k)) * p.row(n)[m];
      total +=
          a.row(k)[m] * static_cast<double>(math::cos(angle)) + b.row(k)[m] * static_cast<double>(math::sin(angle));
    }
    p.row(n)[m] = static_cast<float>(total);
  });
}

void wasserstein_slopes(const Cuda& cuda, double gain, const double* quantile, std::int32_t* order, View<float, 2> p,
                        float* loss) {
  (void)order;  // of one column at a time; here all columns go together
  const long samples = p.shape[0], slices = p.shape[1];
  const cuda::Scratch<double> scratch(cuda, samples * slices);
  double* const apart = scratch.data();
  // The rank of a sample is how many come before it: all pairs are compared, which needs no order among threads.
  cuda::for_each_at(cuda, "sliced_wasserstein", samples, slices, [=] __device__(long n, long m) {
    const float own = p.row(n)[m];
    long rank = 0;
    for (long i = 0; i < samples; ++i) {
      const float other = p.row(i)[m];
      rank += other < own || (other == own && i < n);
    }
    apart[n * slices + m] = static_cast<double>(own) - quantile[rank];
  });
  cuda::reduce_columns<1>(
      cuda, "sliced_wasserstein", samples, slices,
      [=] __device__(long n, long m) {
        const double d = apart[n * slices + m];
        return cuda::Sums<1>{{d * d}};
      },
      [=] __device__(long m, const cuda::Sums<1>& total) { loss[m] = static_cast<float>(total.of[0]); });
  cuda::for_each_at(cuda, "sliced_wasserstein", samples, slices, [=] __device__(long n, long m) {
    p.row(n)[m] = static_cast<float>(2 * gain * apart[n * slices + m]);
  });
}

}  // namespace phonaut::kernel
