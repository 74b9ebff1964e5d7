#include "phonaut/ops/whiten.hpp"

#include "elementwise.cuh"
#include "reduce.cuh"

namespace phonaut::kernel {

void narrow(const Cuda& cuda, View<const double, 1> x, float* y) {
  cuda::for_each(cuda, "narrow", x.size(), [=] __device__(long i) { y[i] = static_cast<float>(x.data[i]); });
}
void centre_real_rows(const Cuda& cuda, View<const float, 2> x, RealRows rows, const float* mean, float* y) {
  const long width = x.shape[1];
  const cuda::Brought<long> lengths(cuda, rows.lengths, rows.batch);
  rows.lengths = lengths.data();
  cuda::for_each_at(cuda, "centre_real_rows", x.shape[0], width, [=] __device__(long r, long c) {
    const bool real = !rows.lengths || r % rows.each < rows.of(r / rows.each);
    y[r * width + c] = real ? x.row(r)[c] - mean[c] : 0.f;
  });
}

bool whiten_decide(const Cuda& cuda, View<const float, 3> covariances, const float* squares, double limit,
                   WhitenTerms* terms) {
  const long width = covariances.shape[1], channels = covariances.shape[0] * width;
  const float* const from = covariances.data;
  cuda::reduce<1>(
      cuda, "whiten", channels,
      [=] __device__(long i) { return cuda::Sums<1>{{static_cast<double>(from[i * width + i % width])}}; },
      [=] __device__(const cuda::Sums<1>& diagonal) {
        *terms = whiten_terms(diagonal.of[0], static_cast<double>(*squares), channels, limit);
      });
  return true;
}
void whiten_matrix(const Cuda& cuda, const WhitenTerms* terms, View<float, 3> covariances) {
  const long width = covariances.shape[1];
  float* const to = covariances.data;
  cuda::for_each_at(cuda, "whiten", covariances.shape[0] * width, width, [=] __device__(long r, long c) {
    float& m = to[r * width + c];
    m = static_cast<float>(terms->outer) * m - (r % width == c ? static_cast<float>(terms->inner) : 0.f);
  });
}
void whiten_factor(const Cuda& cuda, const WhitenTerms* terms, double scale, const float* dy_squares,
                   const float* penalty_squares, float* factor) {
  cuda::for_each(cuda, "whiten", 1, [=] __device__(long) {
    const double arrived = math::sqrt(static_cast<double>(*dy_squares)),
                 penalty = math::sqrt(static_cast<double>(*penalty_squares));
    *factor = terms->above ? static_cast<float>(scale * arrived / (penalty + 1e-20)) : 0.f;
  });
}

}  // namespace phonaut::kernel
