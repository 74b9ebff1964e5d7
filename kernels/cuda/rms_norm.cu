#include "phonaut/ops/rms_norm.hpp"

#include "elementwise.cuh"
#include "reduce.cuh"

namespace phonaut::kernel {

void rms_norm_forward(const Cuda& cuda, View<const float, 2> x, const float* gain, double epsilon, View<float, 2> y,
                      View<float, 1> rstd) {
  const long width = x.shape[1];
  cuda::for_each_row(cuda, "rms_norm", x.shape[0], width, [=] __device__(const cuda::Team& team, long r) {
    const float* from = x.row(r);
    double square = 0;
    for (long c = team.rank; c < width; c += team.size) {
      const auto v = static_cast<double>(from[c]);
      square += v * v;
    }
    const auto scale = static_cast<float>(1 / math::sqrt(team.sum(square) / static_cast<double>(width) + epsilon));
    for (long c = team.rank; c < width; c += team.size) y.row(r)[c] = from[c] * scale * (gain ? gain[c] : 1.f);
    if (team.rank == 0) rstd.data[r] = scale;
  });
}

void rms_norm_backward(const Cuda& cuda, View<const float, 2> dy, View<const float, 2> x, const float* gain,
                       View<const float, 1> rstd, Sink<float, 2> dx, Sink<float, 1> dgain, View<float, 2>) {
  const long rows = x.shape[0], width = x.shape[1];
  if (dx)
    cuda::for_each_row(cuda, "rms_norm", rows, width, [=] __device__(const cuda::Team& team, long r) {
      const float scale = rstd.data[r];
      const auto h = [&](long c) { return dy.row(r)[c] * (gain ? gain[c] : 1.f); };
      double sum = 0;
      for (long c = team.rank; c < width; c += team.size)
        sum += static_cast<double>(h(c)) * static_cast<double>(x.row(r)[c]);
      const auto wide = static_cast<double>(scale);
      const auto factor = static_cast<float>(wide * wide * team.sum(sum) / static_cast<double>(width));
      for (long c = team.rank; c < width; c += team.size)
        cuda::put(dx.row(r)[c], scale * (h(c) - x.row(r)[c] * factor), dx.add);
    });
  if (dgain)
    cuda::reduce_columns<1>(
        cuda, "rms_norm", rows, width,
        [=] __device__(long r, long c) {
          return cuda::Sums<1>{{static_cast<double>(dy.row(r)[c]) * static_cast<double>(x.row(r)[c] * rstd.data[r])}};
        },
        [=] __device__(long c, const cuda::Sums<1>& total) {
          cuda::put(dgain.data[c], static_cast<float>(total.of[0]), dgain.add);
        });
}

}  // namespace phonaut::kernel
