#include "phonaut/ops/bypass.hpp"

#include "elementwise.cuh"
#include "reduce.cuh"

namespace phonaut::kernel {

void bypass_forward(const Cuda& cuda, View<const float, 3> a, View<const float, 3> b, const float* scale, long repeat,
                    View<float, 3> y) {
  const long time = y.shape[1];
  cuda::for_each_at(cuda, "bypass", y.shape[0] * time, y.shape[2], [=] __device__(long row, long c) {
    const long n = row / time, t = row % time;
    const float from = a(n, t, c);
    y(n, t, c) = from + (b(n, t / repeat, c) - from) * scale[c];
  });
}
void bypass_backward(const Cuda& cuda, View<const float, 3> dy, View<const float, 3> a, View<const float, 3> b,
                     const float* scale, long repeat, Sink<float, 3> da, Sink<float, 3> db, Sink<float, 1> dscale,
                     View<float, 2>) {
  const long batch = dy.shape[0], time = dy.shape[1], channels = dy.shape[2], steps = b.shape[1];
  if (da)
    cuda::for_each_at(cuda, "bypass", batch * time, channels, [=] __device__(long row, long c) {
      cuda::put(da.data[row * channels + c], dy(row / time, row % time, c) * (1 - scale[c]), da.add);
    });
  if (db)
    cuda::for_each_at(cuda, "bypass", batch * steps, channels, [=] __device__(long row, long c) {
      const long n = row / steps, first = row % steps * repeat, last = first + repeat < time ? first + repeat : time;
      float total = 0;
      for (long t = first; t < last; ++t) total += dy(n, t, c);
      cuda::put(db.data[row * channels + c], total * scale[c], db.add);
    });
  if (dscale)
    cuda::reduce_columns<1>(
        cuda, "bypass", batch * time, channels,
        [=] __device__(long row, long c) {
          const long n = row / time, t = row % time;
          return cuda::Sums<1>{{static_cast<double>(dy(n, t, c)) *
                                (static_cast<double>(b(n, t / repeat, c)) - static_cast<double>(a(n, t, c)))}};
        },
        [=] __device__(long c, const cuda::Sums<1>& total) {
          cuda::put(dscale.data[c], static_cast<float>(total.of[0]), dscale.add);
        });
}

}  // namespace phonaut::kernel
