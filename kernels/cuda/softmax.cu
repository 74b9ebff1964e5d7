#include "phonaut/ops/softmax.hpp"

#include "elementwise.cuh"
#include "phonaut/ops/attention.hpp"
#include "phonaut/ops/log_softmax.hpp"
#include "softmax_row.cuh"

namespace phonaut::kernel {

void softmax_forward(const Cuda& cuda, View<const float, 2> x, const long* lengths, long rows_per_length,
                     View<float, 2> y) {
  const long rows = x.shape[0], width = x.shape[1];
  const cuda::Brought<long> brought(cuda, lengths, lengths ? (rows + rows_per_length - 1) / rows_per_length : 0);
  const long* real = brought.data();
  cuda::for_each_row(cuda, "softmax", rows, width, [=] __device__(const cuda::Team& team, long r) {
    const long n = row_length(real, rows_per_length, width, r);
    cuda::softmax_row(team, x.row(r), n, width, y.row(r));
  });
}
void causal_softmax(const Cuda& cuda, View<float, 2> rows, const long* lengths, long rows_per_length, long first,
                    long queries, long*) {
  const long width = rows.shape[1];
  const cuda::Brought<long> brought(cuda, lengths, lengths ? rows.shape[0] / rows_per_length : 0);
  const long* real = brought.data();
  cuda::for_each_row(cuda, "softmax", rows.shape[0], width, [=] __device__(const cuda::Team& team, long r) {
    const long n = row_length(real, rows_per_length, width, r), seen = first + r % queries + 1;
    cuda::softmax_row(team, rows.row(r), n < seen ? n : seen, width, rows.row(r));
  });
}
void softmax_backward(const Cuda& cuda, View<const float, 2> dy, View<const float, 2> y, Sink<float, 2> dx) {
  const long width = y.shape[1];
  cuda::for_each_row(cuda, "softmax", y.shape[0], width, [=] __device__(const cuda::Team& team, long r) {
    const float *g = dy.row(r), *p = y.row(r);
    double dot = 0;
    for (long c = team.rank; c < width; c += team.size) dot += static_cast<double>(g[c]) * static_cast<double>(p[c]);
    const auto along = static_cast<float>(team.sum(dot));
    for (long c = team.rank; c < width; c += team.size) cuda::put(dx.row(r)[c], p[c] * (g[c] - along), dx.add);
  });
}

void log_softmax_forward(const Cuda& cuda, View<const float, 2> x, View<float, 2> y) {
  const long width = x.shape[1];
  cuda::for_each_row(cuda, "log_softmax", x.shape[0], width, [=] __device__(const cuda::Team& team, long r) {
    const cuda::Exponentials e = cuda::exponentials(team, x.row(r), width);
    const float shift = static_cast<float>(math::log(e.sum));
    for (long c = team.rank; c < width; c += team.size) y.row(r)[c] = (x.row(r)[c] - e.largest) - shift;
  });
}
void log_softmax_backward(const Cuda& cuda, View<const float, 2> dy, View<const float, 2> y, Sink<float, 2> dx) {
  const long width = y.shape[1];
  cuda::for_each_row(cuda, "log_softmax", y.shape[0], width, [=] __device__(const cuda::Team& team, long r) {
    const float* g = dy.row(r);
    double sum = 0;
    for (long c = team.rank; c < width; c += team.size) sum += static_cast<double>(g[c]);
    const auto total = static_cast<float>(team.sum(sum));
    for (long c = team.rank; c < width; c += team.size)
      cuda::put(dx.row(r)[c], g[c] - math::exp(y.row(r)[c]) * total, dx.add);
  });
}

}  // namespace phonaut::kernel
