#pragma once
// A learned step from one signal towards another, channel by channel.
#include "phonaut/core/context.hpp"
#include "phonaut/ops/row_blocks.hpp"
#include "phonaut/ops/shape.hpp"
#include "phonaut/ops/wide.hpp"

namespace phonaut {

namespace kernel {

/// y[n, t] = a[n, t] + (b[n, t / repeat] - a[n, t]) · scale.
template <class S>
void bypass_forward(const Reference&, View<const S, 3> a, View<const S, 3> b, const S* scale, long repeat,
                    View<S, 3> y) {
  for (long n = 0; n < y.shape[0]; ++n)
    for (long t = 0; t < y.shape[1]; ++t) {
      const S* from = a.data + n * a.stride[0] + t * a.stride[1];
      const S* to = b.data + n * b.stride[0] + t / repeat * b.stride[1];
      S* out = y.data + n * y.stride[0] + t * y.stride[1];
      for (long c = 0; c < y.shape[2]; ++c) out[c] = from[c] + (to[c] - from[c]) * scale[c];
    }
}
/// da = dy (1 - scale), db[j] = Σ_{t / repeat = j} dy scale, dscale = Σ dy (b - a). `partial` (row_blocks(N·T), C)
/// is scratch, empty without dscale.
template <class S>
void bypass_backward(const Reference&, View<const S, 3> dy, View<const S, 3> a, View<const S, 3> b, const S* scale,
                     long repeat, Sink<S, 3> da, Sink<S, 3> db, Sink<S, 1> dscale, View<S, 2>) {
  using W = Wide<S>;
  const long batch = dy.shape[0], time = dy.shape[1], channels = dy.shape[2];
  for (long i = 0; da && i < dy.size(); ++i) da.put(i, dy.data[i] * (S(1) - scale[i % channels]));
  for (long n = 0; db && n < batch; ++n)
    for (long j = 0; j < b.shape[1]; ++j)
      for (long c = 0; c < channels; ++c) {
        W total = 0;
        for (long t = j * repeat; t < std::min(time, (j + 1) * repeat); ++t) total += W(dy(n, t, c));
        db.put((n * b.shape[1] + j) * channels + c, S(total * W(scale[c])));
      }
  for (long c = 0; dscale && c < channels; ++c) {
    W total = 0;
    for (long n = 0; n < batch; ++n)
      for (long t = 0; t < time; ++t) total += W(dy(n, t, c)) * (W(b(n, t / repeat, c)) - W(a(n, t, c)));
    dscale.put(c, S(total));
  }
}

void bypass_forward(const Cpu& cpu, View<const float, 3> a, View<const float, 3> b, const float* scale, long repeat,
                    View<float, 3> y);
void bypass_backward(const Cpu& cpu, View<const float, 3> dy, View<const float, 3> a, View<const float, 3> b,
                     const float* scale, long repeat, Sink<float, 3> da, Sink<float, 3> db, Sink<float, 1> dscale,
                     View<float, 2> partial);
void bypass_forward(const Cuda& cuda, View<const float, 3> a, View<const float, 3> b, const float* scale, long repeat,
                    View<float, 3> y);
void bypass_backward(const Cuda& cuda, View<const float, 3> dy, View<const float, 3> a, View<const float, 3> b,
                     const float* scale, long repeat, Sink<float, 3> da, Sink<float, 3> db, Sink<float, 1> dscale,
                     View<float, 2>);

}  // namespace kernel

/// y = a + (b - a) · scale, with a (N, T, C), scale (C) and every frame of b standing for `repeat` frames: b is
/// (N, ceil(T / repeat), C). Throws ShapeError if they do not fit.
template <class B>
Var<B, 3> bypass(const Var<B, 3>& a, const Var<B, 3>& b, Weight<B, 1> scale, long repeat = 1) {
  check_channels("bypass", a.shape(), scale.extent(0), "the scale ", scale.shape());
  Shape<3> want = a.shape();
  want[1] = (want[1] + repeat - 1) / repeat;
  check_same_shape("bypass", "the new signal", b.shape(), "what the old one needs", want);
  auto& ctx = a.context();
  const Var<B, 1> s = ctx.lift(scale);
  auto y = ctx.empty(a.shape());
  kernel::bypass_forward(ctx.backend(), a.in(), b.in(), s.in().data, repeat, y.out());
  return record(
      std::move(y),
      [a, b, s, repeat](Context<B>& c, const Tensor<B, 3>& dy) {
        const auto ds = c.sink(s);
        Tensor<B, 2> partial;
        if (ds) partial = c.empty(Shape<2>{kernel::row_blocks(a.extent(0) * a.extent(1)), a.extent(2)});
        kernel::bypass_backward(c.backend(), dy.in(), a.in(), b.in(), s.in().data, repeat, c.sink(a), c.sink(b), ds,
                                partial.out());
      },
      a, b, s);
}

}  // namespace phonaut
