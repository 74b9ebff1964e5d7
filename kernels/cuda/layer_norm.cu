#include "phonaut/ops/layer_norm.hpp"

#include "elementwise.cuh"
#include "reduce.cuh"

namespace phonaut::kernel {

void layer_norm_forward(const Cuda& cuda, View<const float, 2> x, const float* gain, const float* bias, double epsilon,
                        View<float, 2> y, View<float, 2> stats) {
  const long width = x.shape[1];
  cuda::for_each_row(cuda, "layer_norm", x.shape[0], width, [=] __device__(const cuda::Team& team, long r) {
    const float* from = x.row(r);
    double total = 0, square = 0;
    for (long c = team.rank; c < width; c += team.size) total += static_cast<double>(from[c]);
    const double mean = team.sum(total) / static_cast<double>(width);
    for (long c = team.rank; c < width; c += team.size) {
      const double d = static_cast<double>(from[c]) - mean;
      square += d * d;
    }
    const double rstd = 1 / math::sqrt(team.sum(square) / static_cast<double>(width) + epsilon);
    for (long c = team.rank; c < width; c += team.size) {
      const auto normed = static_cast<float>((static_cast<double>(from[c]) - mean) * rstd);
      y.row(r)[c] = normed * (gain ? gain[c] : 1.f) + (bias ? bias[c] : 0.f);
    }
    if (team.rank == 0) {
      stats.row(r)[0] = static_cast<float>(mean);
      stats.row(r)[1] = static_cast<float>(rstd);
    }
  });
}

void layer_norm_backward(const Cuda& cuda, View<const float, 2> dy, View<const float, 2> x, const float* gain,
                         View<const float, 2> stats, Sink<float, 2> dx, Sink<float, 1> dgain, Sink<float, 1> dbias,
                         View<float, 2>) {
  const long rows = x.shape[0], width = x.shape[1];
  const auto normed = [=] __device__(long r, long c) { return (x.row(r)[c] - stats.row(r)[0]) * stats.row(r)[1]; };
  if (dx)
    cuda::for_each_row(cuda, "layer_norm", rows, width, [=] __device__(const cuda::Team& team, long r) {
      const auto h = [&](long c) { return dy.row(r)[c] * (gain ? gain[c] : 1.f); };
      cuda::Sums<2> sums{};
      for (long c = team.rank; c < width; c += team.size)
        sums = sums + cuda::Sums<2>{
                          {static_cast<double>(h(c)), static_cast<double>(h(c)) * static_cast<double>(normed(r, c))}};
      sums = team.sum(sums);
      const auto mean_h = static_cast<float>(sums.of[0] / static_cast<double>(width));
      const auto mean_hz = static_cast<float>(sums.of[1] / static_cast<double>(width));
      for (long c = team.rank; c < width; c += team.size)
        cuda::put(dx.row(r)[c], stats.row(r)[1] * (h(c) - mean_h - normed(r, c) * mean_hz), dx.add);
    });
  if (dgain || dbias)
    cuda::reduce_columns<2>(
        cuda, "layer_norm", rows, width,
        [=] __device__(long r, long c) {
          const auto g = static_cast<double>(dy.row(r)[c]);
          return cuda::Sums<2>{{g * static_cast<double>(normed(r, c)), g}};
        },
        [=] __device__(long c, const cuda::Sums<2>& total) {
          if (dgain) cuda::put(dgain.data[c], static_cast<float>(total.of[0]), dgain.add);
          if (dbias) cuda::put(dbias.data[c], static_cast<float>(total.of[1]), dbias.add);
        });
}

}  // namespace phonaut::kernel
