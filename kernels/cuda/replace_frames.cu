#include "phonaut/ops/replace_frames.hpp"

#include "elementwise.cuh"
#include "reduce.cuh"

namespace phonaut::kernel {

void replace_frames_forward(const Cuda& cuda, View<const float, 2> x, View<const float, 1> hidden,
                            View<const float, 1> vector, View<float, 2> y) {
  cuda::for_each_at(cuda, "replace_frames", x.shape[0], x.shape[1], [=] __device__(long r, long c) {
    y.row(r)[c] = hidden.data[r] != 0 ? vector.data[c] : x.row(r)[c];
  });
}
void replace_frames_backward(const Cuda& cuda, View<const float, 2> dy, View<const float, 1> hidden, Sink<float, 2> dx,
                             Sink<float, 1> dvector) {
  if (dx)
    cuda::for_each_at(cuda, "replace_frames", dy.shape[0], dy.shape[1], [=] __device__(long r, long c) {
      cuda::put(dx.row(r)[c], hidden.data[r] != 0 ? 0.f : dy.row(r)[c], dx.add);
    });
  if (dvector)
    cuda::reduce_columns<1>(
        cuda, "replace_frames", dy.shape[0], dy.shape[1],
        [=] __device__(long r, long c) {
          return cuda::Sums<1>{{hidden.data[r] != 0 ? static_cast<double>(dy.row(r)[c]) : 0.0}};
        },
        [=] __device__(long c, const cuda::Sums<1>& total) {
          cuda::put(dvector.data[c], static_cast<float>(total.of[0]), dvector.add);
        });
}

}  // namespace phonaut::kernel
