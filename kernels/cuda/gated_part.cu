#include "phonaut/ops/gated_part.hpp"

#include "elementwise.cuh"

namespace phonaut::kernel {

namespace {

template <class F>
void gate_forward(const Cuda& cuda, F f, PartGate part, View<const float, 3> x, const long* lengths, View<float, 3> y) {
  const long time = y.shape[1], width = y.shape[2];
  const cuda::Brought<long> brought(cuda, lengths, y.shape[0]);
  const long* real = brought.data();
  cuda::for_each_at(cuda, "gated_part", y.shape[0] * time, width, [=] __device__(long row, long c) {
    const long n = row / time, t = row % time;
    y(n, t, c) = real && t >= real[n] ? 0.f : x(n, t, part.value * width + c) * f.value(x(n, t, part.gate * width + c));
  });
}
template <class F>
void gate_backward(const Cuda& cuda, F f, PartGate part, View<const float, 3> dy, View<const float, 3> x,
                   const long* lengths, Sink<float, 3> dx) {
  const long time = dx.shape[1], width = dy.shape[2];
  const cuda::Brought<long> brought(cuda, lengths, dx.shape[0]);
  const long* real = brought.data();
  cuda::for_each_at(cuda, "gated_part", dx.shape[0] * time, part.parts * width, [=] __device__(long row, long i) {
    const long n = row / time, t = row % time, p = i / width, c = i - p * width;
    float g = 0;
    if ((p == part.value || p == part.gate) && (!real || t < real[n])) {
      const float open = f.value(x(n, t, part.gate * width + c)), d = dy(n, t, c);
      if (p == part.value) g += d * open;
      if (p == part.gate) g += d * x(n, t, part.value * width + c) * f.slope_from_value(open);
    }
    cuda::put(dx(n, t, i), g, dx.add);
  });
}

}  // namespace

#define PHONAUT_CUDA_GATE(F)                                                                                          \
  void gated_part_forward(const Cuda& cuda, formula::F f, PartGate part, View<const float, 3> x, const long* lengths, \
                          View<float, 3> y) {                                                                         \
    gate_forward(cuda, f, part, x, lengths, y);                                                                       \
  }                                                                                                                   \
  void gated_part_backward(const Cuda& cuda, formula::F f, PartGate part, View<const float, 3> dy,                    \
                           View<const float, 3> x, const long* lengths, Sink<float, 3> dx) {                          \
    if (dx) gate_backward(cuda, f, part, dy, x, lengths, dx);                                                         \
  }
PHONAUT_CUDA_GATE(SigmoidGate)
PHONAUT_CUDA_GATE(TanhGate)

void multiply_part_forward(const Cuda& cuda, View<const float, 2> m, View<const float, 2> x, long value,
                           View<float, 2> y) {
  const long width = y.shape[1];
  cuda::for_each_at(cuda, "multiply_part", y.shape[0], width,
                    [=] __device__(long r, long c) { y.row(r)[c] = m.row(r)[c] * x.row(r)[value * width + c]; });
}
void multiply_part_backward(const Cuda& cuda, View<const float, 2> dy, View<const float, 2> m, View<const float, 2> x,
                            long value, Sink<float, 2> dm, Sink<float, 2> dx) {
  const long width = dy.shape[1];
  if (dm)
    cuda::for_each_at(cuda, "multiply_part", dy.shape[0], width, [=] __device__(long r, long c) {
      cuda::put(dm.row(r)[c], dy.row(r)[c] * x.row(r)[value * width + c], dm.add);
    });
  if (dx)
    cuda::for_each_at(cuda, "multiply_part", dy.shape[0], dx.shape[1], [=] __device__(long r, long i) {
      const long c = i - value * width;
      cuda::put(dx.row(r)[i], c >= 0 && c < width ? dy.row(r)[c] * m.row(r)[c] : 0.f, dx.add);
    });
}

}  // namespace phonaut::kernel
