#include "phonaut/ops/spectral_norm.hpp"

#include "elementwise.cuh"
#include "reduce.cuh"

namespace phonaut::kernel {

namespace {

/// v /= max(|v|, 1e-12).
void to_unit_length(const Cuda& cuda, View<float, 1> v, double* factor) {
  float* const at = v.data;
  cuda::reduce<1>(
      cuda, "spectral_norm", v.size(),
      [=] __device__(long i) { return cuda::Sums<1>{{static_cast<double>(at[i]) * static_cast<double>(at[i])}}; },
      [=] __device__(const cuda::Sums<1>& square) {
        const double length = math::sqrt(square.of[0]);
        *factor = 1 / (length < 1e-12 ? 1e-12 : length);
      });
  cuda::for_each(cuda, "spectral_norm", v.size(),
                 [=] __device__(long i) { at[i] = static_cast<float>(static_cast<double>(at[i]) * *factor); });
}
/// u = W v.
void times_rows(const Cuda& cuda, View<const float, 2> w, const float* v, float* u) {
  const long columns = w.shape[1];
  cuda::for_each_row(cuda, "spectral_norm", w.shape[0], columns, [=] __device__(const cuda::Team& team, long r) {
    double total = 0;
    for (long c = team.rank; c < columns; c += team.size)
      total += static_cast<double>(w.row(r)[c]) * static_cast<double>(v[c]);
    total = team.sum(total);
    if (team.rank == 0) u[r] = static_cast<float>(total);
  });
}

}  // namespace

void power_iteration(const Cuda& cuda, View<const float, 2> w, long rounds, View<float, 1> u, View<float, 1> v,
                     double*) {
  const cuda::Scratch<double> factor(cuda, 1);
  for (long round = 0; round < rounds; ++round) {
    times_rows(cuda, w, v.data, u.data);
    to_unit_length(cuda, u, factor.data());
    cuda::reduce_columns<1>(
        cuda, "spectral_norm", w.shape[0], w.shape[1],
        [=] __device__(long r, long c) {
          return cuda::Sums<1>{{static_cast<double>(w.row(r)[c]) * static_cast<double>(u.data[r])}};
        },
        [=] __device__(long c, const cuda::Sums<1>& total) { v.data[c] = static_cast<float>(total.of[0]); });
    to_unit_length(cuda, v, factor.data());
  }
}

void spectral_norm_forward(const Cuda& cuda, View<const float, 2> w, View<const float, 1> u, View<const float, 1> v,
                           View<float, 2> y, float* sigma) {
  const long rows = w.shape[0];
  const cuda::Scratch<float> scratch(cuda, rows);
  float* const along = scratch.data();
  times_rows(cuda, w, v.data, along);
  cuda::reduce<1>(
      cuda, "spectral_norm", rows,
      [=] __device__(long r) {
        return cuda::Sums<1>{{static_cast<double>(u.data[r]) * static_cast<double>(along[r])}};
      },
      [=] __device__(const cuda::Sums<1>& total) { *sigma = static_cast<float>(total.of[0]); });
  cuda::for_each_at(cuda, "spectral_norm", rows, w.shape[1],
                    [=] __device__(long r, long c) { y.row(r)[c] = w.row(r)[c] / *sigma; });
}

void spectral_norm_backward(const Cuda& cuda, View<const float, 2> dy, View<const float, 2> y, View<const float, 1> u,
                            View<const float, 1> v, const float* sigma, Sink<float, 2> dw) {
  const long columns = y.shape[1];
  const cuda::Scratch<float> scratch(cuda, 1);
  float* const along = scratch.data();
  cuda::reduce<1>(
      cuda, "spectral_norm", y.size(),
      [=] __device__(long i) {
        const long r = i / columns, c = i - r * columns;
        return cuda::Sums<1>{{static_cast<double>(dy.row(r)[c]) * static_cast<double>(y.row(r)[c])}};
      },
      [=] __device__(const cuda::Sums<1>& total) { *along = static_cast<float>(total.of[0]); });
  cuda::for_each_at(cuda, "spectral_norm", y.shape[0], columns, [=] __device__(long r, long c) {
    cuda::put(dw.row(r)[c], (dy.row(r)[c] - *along * u.data[r] * v.data[c]) / *sigma, dw.add);
  });
}

}  // namespace phonaut::kernel
