#include "phonaut/ops/gathered_products.hpp"

#include "elementwise.cuh"
#include "scatter.cuh"

namespace phonaut::kernel {

void gathered_products_forward(const Cuda& cuda, View<const float, 2> u, View<const float, 2> v,
                               View<const std::int32_t, 2> choice, View<float, 2> y) {
  const long choices = y.shape[1], width = u.shape[1];
  cuda::for_each_row(cuda, "gathered_products", y.shape[0] * choices, width,
                     [=] __device__(const cuda::Team& team, long row) {
                       const long i = row / choices, k = row % choices;
                       const float *a = u.row(i), *b = v.row(choice.row(i)[k]);
                       double total = 0;
                       for (long c = team.rank; c < width; c += team.size)
                         total += static_cast<double>(a[c]) * static_cast<double>(b[c]);
                       total = team.sum(total);
                       if (team.rank == 0) y.row(i)[k] = static_cast<float>(total);
                     });
}
void gathered_products_backward(const Cuda& cuda, View<const float, 2> dy, View<const float, 2> u,
                                View<const float, 2> v, View<const std::int32_t, 2> choice, Sink<float, 2> du,
                                Sink<float, 2> dv) {
  const long choices = dy.shape[1];
  if (du)
    cuda::for_each_at(cuda, "gathered_products", du.shape[0], du.shape[1], [=] __device__(long i, long c) {
      float total = 0;
      for (long k = 0; k < choices; ++k) total += dy.row(i)[k] * v.row(choice.row(i)[k])[c];
      cuda::put(du.row(i)[c], total, du.add);
    });
  if (dv)
    cuda::scatter(
        cuda, "gathered_products", dv.shape[0], dv.shape[1], dy.shape[0] * choices,
        [=] __device__(long row) { return choice.row(row / choices)[row % choices]; },
        [=] __device__(long row, long c) { return dy.row(row / choices)[row % choices] * u.row(row / choices)[c]; },
        [=] __device__(long j, long c, double total) { cuda::put(dv.row(j)[c], static_cast<float>(total), dv.add); });
}
void exclude_copies(const Cuda& cuda, View<const float, 2> q, View<const std::int32_t, 2> choice,
                    View<const float, 2> x, float value, Sink<float, 2> y) {
  const long choices = x.shape[1], width = q.shape[1];
  cuda::for_each_row(cuda, "exclude_copies", x.shape[0] * choices, width,
                     [=] __device__(const cuda::Team& team, long row) {
                       const long i = row / choices, k = row % choices;
                       const float *a = q.row(choice.row(i)[0]), *b = q.row(choice.row(i)[k]);
                       int differ = 0;
                       for (long c = team.rank; c < width; c += team.size) differ += a[c] != b[c];
                       differ = team.sum(differ);
                       if (team.rank != 0) return;
                       if (k == 0 || differ > 0) cuda::put(y.row(i)[k], x.row(i)[k], y.add);
                       else if (!y.add) y.row(i)[k] = value;
                     });
}

}  // namespace phonaut::kernel
