#include "phonaut/ops/spectral_distance.hpp"

#include "elementwise.cuh"
#include "reduce.cuh"

namespace phonaut::kernel {

void spectral_distance_sums(const Cuda& cuda, const SpectralTerms& on_host, View<const float, 3> x,
                            View<const float, 3> y, const long* lengths, double* sums) {
  const SpectralTerms terms = on_host;
  const long rows = x.shape[0] * x.shape[1], time = x.shape[1], width = x.shape[2];
  const cuda::Brought<long> brought(cuda, lengths, x.shape[0]);
  const long* real = brought.data();
  using Row = cuda::Sums<spectral_sums>;
  const cuda::Scratch<Row> scratch(cuda, rows);
  Row* const of_row = scratch.data();
  cuda::for_each_row(cuda, "spectral_distance", rows, width, [=] __device__(const cuda::Team& team, long r) {
    Row total{};
    for (long c = team.rank; real_row(r, time, real) && c < width; c += team.size) {
      const float a = x.data[r * width + c], b = y.data[r * width + c], apart = a - b;
      const float d = terms.any_log() ? terms.log.difference(a, b) : 0.f;
      const auto wide = [](float v) { return static_cast<double>(v); };
      total = total + Row{{wide(math::abs(apart)), wide(math::abs(d)), wide(d) * wide(d), wide(apart) * wide(apart),
                           wide(b) * wide(b), 0}};
    }
    total = team.sum(total);
    if (team.rank != 0) return;
    if (total.of[2] > 0) total.of[5] = math::sqrt(total.of[2] / static_cast<double>(width));
    of_row[r] = total;
  });
  cuda::reduce<spectral_sums>(
      cuda, "spectral_distance", rows, [=] __device__(long r) { return of_row[r]; },
      [=] __device__(const Row& total) {
        for (long i = 0; i < spectral_sums; ++i) sums[i] = total.of[i];
      });
}

void spectral_distance_value(const Cuda& cuda, const SpectralTerms& on_host, const SpectralShares& of_host,
                             const double* sums, float* value) {
  const SpectralTerms terms = on_host;
  const SpectralShares share = of_host;
  cuda::for_each(cuda, "spectral_distance", 1,
                 [=] __device__(long) { *value = static_cast<float>(spectral_value(terms, share, sums)); });
}
void spectral_distance_factors(const Cuda& cuda, const SpectralTerms& on_host, const SpectralShares& of_host,
                               const float* dloss, const double* sums, float* factors) {
  const SpectralTerms terms = on_host;
  const SpectralShares share = of_host;
  cuda::for_each(cuda, "spectral_distance", 1,
                 [=] __device__(long) { spectral_factors(terms, share, static_cast<double>(*dloss), sums, factors); });
}

void spectral_distance_backward(const Cuda& cuda, const SpectralTerms& on_host, const float* f, View<const float, 3> x,
                                View<const float, 3> y, const long* lengths, Sink<float, 3> dx, Sink<float, 3> dy) {
  const SpectralTerms terms = on_host;
  const long time = x.shape[1], width = x.shape[2];
  const cuda::Brought<long> brought(cuda, lengths, x.shape[0]);
  const long* frames = brought.data();
  cuda::for_each_row(cuda, "spectral_distance", x.shape[0] * time, width,
                     [=] __device__(const cuda::Team& team, long r) {
                       const bool real = real_row(r, time, frames);
                       const float *a = x.data + r * width, *b = y.data + r * width;
                       float root = 0;
                       if (real && terms.log_root != 0) {
                         double total = 0;
                         for (long c = team.rank; c < width; c += team.size) {
                           const auto d = static_cast<double>(terms.log.difference(a[c], b[c]));
                           total += d * d;
                         }
                         total = team.sum(total);
                         if (total > 0)
                           root = f[5] / static_cast<float>(math::sqrt(total * static_cast<double>(width)));
                       }
                       for (long c = team.rank; c < width; c += team.size) {
                         const long i = r * width + c;
                         float gx = 0, gy = 0;
                         if (real) {
                           const float apart = a[c] - b[c], linear = f[0] * formula::sign_of(apart) + 2 * f[3] * apart;
                           float log_part = 0;
                           if (terms.any_log()) {
                             const float d = terms.log.difference(a[c], b[c]);
                             log_part = f[1] * formula::sign_of(d) + (2 * f[2] + root) * d;
                           }
                           gx = linear + log_part * terms.log.slope(a[c]);
                           gy = 2 * f[4] * b[c] - linear - log_part * terms.log.slope(b[c]);
                         }
                         if (dx) cuda::put(dx.data[i], gx, dx.add);
                         if (dy) cuda::put(dy.data[i], gy, dy.add);
                       }
                     });
}

}  // namespace phonaut::kernel
