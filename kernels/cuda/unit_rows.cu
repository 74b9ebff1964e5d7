#include "phonaut/ops/unit_rows.hpp"

#include "elementwise.cuh"
#include "phonaut/ops/unit_columns.hpp"
#include "reduce.cuh"

namespace phonaut::kernel {

void unit_rows_forward(const Cuda& cuda, double least, View<const float, 2> x, View<float, 2> y, float* inverse) {
  const long width = x.shape[1];
  cuda::for_each_row(cuda, "unit_rows", x.shape[0], width, [=] __device__(const cuda::Team& team, long r) {
    double square = 0;
    for (long c = team.rank; c < width; c += team.size) {
      const auto v = static_cast<double>(x.row(r)[c]);
      square += v * v;
    }
    square = team.sum(square);
    const auto factor = static_cast<float>(1 / (square > least * least ? math::sqrt(square) : least));
    for (long c = team.rank; c < width; c += team.size) y.row(r)[c] = x.row(r)[c] * factor;
    if (team.rank == 0) inverse[r] = factor;
  });
}
void unit_rows_backward(const Cuda& cuda, double least, View<const float, 2> dy, View<const float, 2> y,
                        const float* inverse, Sink<float, 2> dx) {
  const long width = y.shape[1];
  const auto of_short = static_cast<float>(1 / least);
  cuda::for_each_row(cuda, "unit_rows", y.shape[0], width, [=] __device__(const cuda::Team& team, long r) {
    const float *g = dy.row(r), *u = y.row(r);
    double dot = 0;
    for (long c = team.rank; c < width; c += team.size) dot += static_cast<double>(g[c]) * static_cast<double>(u[c]);
    const auto along = inverse[r] < of_short ? static_cast<float>(team.sum(dot)) : 0.f;
    for (long c = team.rank; c < width; c += team.size)
      cuda::put(dx.row(r)[c], (g[c] - along * u[c]) * inverse[r], dx.add);
  });
}

void unit_columns(const Cuda& cuda, View<float, 2> a) {
  const cuda::Scratch<float> scratch(cuda, a.shape[1]);
  float* const inverse = scratch.data();
  cuda::reduce_columns<1>(
      cuda, "unit_columns", a.shape[0], a.shape[1],
      [=] __device__(long r, long c) {
        const auto v = static_cast<double>(a.row(r)[c]);
        return cuda::Sums<1>{{v * v}};
      },
      [=] __device__(long c, const cuda::Sums<1>& square) {
        inverse[c] = square.of[0] > 0 ? static_cast<float>(1 / math::sqrt(square.of[0])) : 1.f;
      });
  cuda::for_each_at(cuda, "unit_columns", a.shape[0], a.shape[1],
                    [=] __device__(long r, long c) { a.row(r)[c] *= inverse[c]; });
}

}  // namespace phonaut::kernel
