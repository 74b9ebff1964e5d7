#include "phonaut/ops/row_distance.hpp"

#include "elementwise.cuh"
#include "reduce.cuh"

namespace phonaut::kernel {

namespace {

/// |a[r] - b[r]|².
__device__ __forceinline__ double square_apart(const cuda::Team& team, const float* a, const float* b, long width) {
  double square = 0;
  for (long c = team.rank; c < width; c += team.size) {
    const double d = static_cast<double>(a[c]) - static_cast<double>(b[c]);
    square += d * d;
  }
  return team.sum(square);
}

}  // namespace

void row_distance_forward(const Cuda& cuda, double power, View<const float, 2> a, View<const float, 2> b, float* y) {
  const long width = a.shape[1];
  cuda::for_each_row(cuda, "row_distance", a.shape[0], width, [=] __device__(const cuda::Team& team, long r) {
    const double square = square_apart(team, a.row(r), b.row(r), width);
    if (team.rank == 0) y[r] = square > 0 ? static_cast<float>(::exp(0.5 * power * ::log(square))) : 0.f;
  });
}
void row_distance_backward(const Cuda& cuda, double power, const float* dy, View<const float, 2> a,
                           View<const float, 2> b, Sink<float, 2> da, Sink<float, 2> db) {
  const long width = a.shape[1];
  cuda::for_each_row(cuda, "row_distance", a.shape[0], width, [=] __device__(const cuda::Team& team, long r) {
    const double square = square_apart(team, a.row(r), b.row(r), width);
    const double factor =
        square > 0 ? static_cast<double>(dy[r]) * power * ::exp((0.5 * power - 1) * ::log(square)) : 0;
    for (long c = team.rank; c < width; c += team.size) {
      const auto g = static_cast<float>(factor * (static_cast<double>(a.row(r)[c]) - static_cast<double>(b.row(r)[c])));
      if (da) cuda::put(da.row(r)[c], g, da.add);
      if (db) cuda::put(db.row(r)[c], -g, db.add);
    }
  });
}

}  // namespace phonaut::kernel
