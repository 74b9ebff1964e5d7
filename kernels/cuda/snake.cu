#include "phonaut/ops/snake.hpp"

#include "elementwise.cuh"
#include "reduce.cuh"

namespace phonaut::kernel {

void snake_forward(const Cuda& cuda, View<const float, 2> x, const float* alpha, double epsilon, View<float, 2> y) {
  const auto least = static_cast<float>(epsilon);
  cuda::for_each_at(cuda, "snake", x.shape[0], x.shape[1], [=] __device__(long r, long c) {
    const float a = alpha[c], v = x.row(r)[c], s = math::sin(a * v);
    y.row(r)[c] = v + s * s / (a + least);
  });
}
void snake_backward(const Cuda& cuda, View<const float, 2> dy, View<const float, 2> x, const float* alpha,
                    double epsilon, Sink<float, 2> dx, Sink<float, 1> dalpha, View<float, 2>) {
  const auto least = static_cast<float>(epsilon);
  if (dx)
    cuda::for_each_at(cuda, "snake", x.shape[0], x.shape[1], [=] __device__(long r, long c) {
      const float a = alpha[c], u = a * x.row(r)[c], twice = 2 * math::sin(u) * math::cos(u);
      cuda::put(dx.row(r)[c], dy.row(r)[c] * (1 + a / (a + least) * twice), dx.add);
    });
  if (dalpha)
    cuda::reduce_columns<1>(
        cuda, "snake", x.shape[0], x.shape[1],
        [=] __device__(long r, long c) {
          const float a = alpha[c], q = 1 / (a + least), v = x.row(r)[c];
          const float s = math::sin(a * v), twice = 2 * s * math::cos(a * v);
          return cuda::Sums<1>{{static_cast<double>(dy.row(r)[c] * (v * twice - q * s * s))}};
        },
        [=] __device__(long c, const cuda::Sums<1>& total) {
          const float q = 1 / (alpha[c] + least);
          cuda::put(dalpha.data[c], static_cast<float>(static_cast<double>(q) * total.of[0]), dalpha.add);
        });
}

}  // namespace phonaut::kernel
