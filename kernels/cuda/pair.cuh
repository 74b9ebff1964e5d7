#pragma once
// PHONAUT_CUDA_PAIR(F) defines the kernels of formula::F, of two values, on Cuda.
#include "elementwise.cuh"
#include "reduce.cuh"

namespace phonaut::cuda {

template <class F>
void pair_sum(const Cuda& cuda, F f, double scale, View<const float, 2> x, View<const float, 2> y, float* out) {
  const long width = x.shape[1];
  reduce<1>(
      cuda, "a sum over pairs", x.size(),
      [=] __device__(long i) {
        const long r = i / width, c = i - r * width;
        return Sums<1>{{static_cast<double>(f.value(x.row(r)[c], y.row(r)[c]))}};
      },
      [=] __device__(const Sums<1>& total) { *out = static_cast<float>(scale * total.of[0]); });
}
template <class F>
void pair_columns(const Cuda& cuda, F f, double scale, View<const float, 2> x, View<const float, 2> y, float* out) {
  reduce_columns<1>(
      cuda, "sums over pairs", x.shape[0], x.shape[1],
      [=] __device__(long r, long c) { return Sums<1>{{static_cast<double>(f.value(x.row(r)[c], y.row(r)[c]))}}; },
      [=] __device__(long c, const Sums<1>& total) { out[c] = static_cast<float>(scale * total.of[0]); });
}
template <class F>
void pair_backward(const Cuda& cuda, F f, double scale, const float* gain, long step, View<const float, 2> x,
                   View<const float, 2> y, Sink<float, 2> dx, Sink<float, 2> dy) {
  const auto factor = static_cast<float>(scale);
  if (!dx && !dy) return;
  for_each_at(cuda, "the gradient of a sum over pairs", x.shape[0], x.shape[1], [=] __device__(long r, long c) {
    const formula::Slopes<float> slope = f.slopes(x.row(r)[c], y.row(r)[c]);
    const float g = factor * gain[c * step];
    if (dx) put(dx.row(r)[c], g * slope.x, dx.add);
    if (dy) put(dy.row(r)[c], g * slope.y, dy.add);  // after dx: both may be the same value's
  });
}

}  // namespace phonaut::cuda

#define PHONAUT_CUDA_PAIR(F)                                                                                           \
  namespace phonaut::formula {                                                                                         \
  void pair_sum(const Cuda& cuda, F f, double scale, View<const float, 2> x, View<const float, 2> y, float* out) {     \
    cuda::pair_sum(cuda, f, scale, x, y, out);                                                                         \
  }                                                                                                                    \
  void pair_columns(const Cuda& cuda, F f, double scale, View<const float, 2> x, View<const float, 2> y, float* out) { \
    cuda::pair_columns(cuda, f, scale, x, y, out);                                                                     \
  }                                                                                                                    \
  void pair_backward(const Cuda& cuda, F f, double scale, const float* gain, long step, View<const float, 2> x,        \
                     View<const float, 2> y, Sink<float, 2> dx, Sink<float, 2> dy) {                                   \
    cuda::pair_backward(cuda, f, scale, gain, step, x, y, dx, dy);                                                     \
  }                                                                                                                    \
  }
