#include "phonaut/ops/bias_norm.hpp"

#include "elementwise.cuh"
#include "reduce.cuh"

namespace phonaut::kernel {

void bias_norm_forward(const Cuda& cuda, View<const float, 2> x, const float* bias, const float* log_scale,
                       View<float, 2> y, View<float, 1> rms) {
  const long width = x.shape[1];
  cuda::for_each_row(cuda, "bias_norm", x.shape[0], width, [=] __device__(const cuda::Team& team, long row) {
    const float* from = x.row(row);
    double square = 0;
    for (long c = team.rank; c < width; c += team.size) {
      const double d = static_cast<double>(from[c]) - static_cast<double>(bias[c]);
      square += d * d;
    }
    square = team.sum(square) / static_cast<double>(width);
    const auto r = static_cast<float>(square > bias_norm_floor ? 1 / math::sqrt(square) : 0.0);
    const float scale = r * math::exp(*log_scale);
    for (long c = team.rank; c < width; c += team.size) y.row(row)[c] = from[c] * scale;
    if (team.rank == 0) rms.data[row] = r;
  });
}

void bias_norm_backward(const Cuda& cuda, View<const float, 2> dy, View<const float, 2> x, const float* bias,
                        const float* log_scale, View<const float, 1> rms, Sink<float, 2> dx, Sink<float, 1> dbias,
                        Sink<float, 0> dlog_scale, View<float, 2>) {
  const long rows = x.shape[0], width = x.shape[1];
  const cuda::Scratch<float> scratch(cuda, rows);  // h of every row, which dx and the weights share
  float* const h = scratch.data();
  cuda::for_each_row(cuda, "bias_norm", rows, width, [=] __device__(const cuda::Team& team, long row) {
    const float *g = dy.row(row), *from = x.row(row);
    double sum = 0;
    for (long c = team.rank; c < width; c += team.size) sum += static_cast<double>(g[c]) * static_cast<double>(from[c]);
    const float r = rms.data[row];
    const auto mean = static_cast<float>(team.sum(sum) * static_cast<double>(r) / static_cast<double>(width));
    if (team.rank == 0) h[row] = mean;
    if (!dx) return;
    const float scale = math::exp(*log_scale) * r;
    for (long c = team.rank; c < width; c += team.size)
      cuda::put(dx.row(row)[c], scale * (g[c] - (from[c] - bias[c]) * r * mean), dx.add);
  });
  if (dbias)
    cuda::reduce_columns<1>(
        cuda, "bias_norm", rows, width,
        [=] __device__(long row, long c) {
          const auto r = static_cast<double>(rms.data[row]);
          return cuda::Sums<1>{{r * r * (static_cast<double>(x.row(row)[c]) - static_cast<double>(bias[c])) *
                                static_cast<double>(h[row])}};
        },
        [=] __device__(long c, const cuda::Sums<1>& total) {
          const double scale = math::exp(static_cast<double>(*log_scale));
          cuda::put(dbias.data[c], static_cast<float>(scale * total.of[0]), dbias.add);
        });
  if (dlog_scale)
    cuda::reduce<1>(
        cuda, "bias_norm", rows, [=] __device__(long row) { return cuda::Sums<1>{{static_cast<double>(h[row])}}; },
        [=] __device__(const cuda::Sums<1>& total) {
          const double scale = math::exp(static_cast<double>(*log_scale)) * static_cast<double>(width);
          cuda::put(*dlog_scale.data, static_cast<float>(scale * total.of[0]), dlog_scale.add);
        });
}

}  // namespace phonaut::kernel
