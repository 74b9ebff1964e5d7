#include "phonaut/ops/glu.hpp"

#include "elementwise.cuh"

namespace phonaut::kernel {

void glu_forward(const Cuda& cuda, View<const float, 2> x, View<float, 2> y) {
  const long width = y.shape[1];
  cuda::for_each_at(cuda, "glu", y.shape[0], width,
                    [=] __device__(long r, long c) { y.row(r)[c] = x.row(r)[c] * math::sigmoid(x.row(r)[width + c]); });
}
void glu_backward(const Cuda& cuda, View<const float, 2> dy, View<const float, 2> x, Sink<float, 2> dx) {
  const long width = dy.shape[1];
  cuda::for_each_at(cuda, "glu", dy.shape[0], width, [=] __device__(long r, long c) {
    const float s = math::sigmoid(x.row(r)[width + c]), g = dy.row(r)[c] * s;
    cuda::put(dx.row(r)[c], g, dx.add);
    cuda::put(dx.row(r)[width + c], g * x.row(r)[c] * (1 - s), dx.add);
  });
}

}  // namespace phonaut::kernel
