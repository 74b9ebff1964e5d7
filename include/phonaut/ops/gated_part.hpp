#pragma once
// Gates over the parts of one projection: a linear layer writes several vectors side by side, one of them opens or
// closes another. Reading the parts in place saves the copies, and the padding mask comes for free.
#include "phonaut/core/math.hpp"
#include "phonaut/core/sequence.hpp"
#include "phonaut/ops/formula/gate.hpp"
#include "phonaut/ops/shape.hpp"

namespace phonaut {

namespace kernel {

/// y[n, t] = value · f(gate) for frames below the length, 0 beyond it; x (N, T, parts · C), y (N, T, C).
template <class F, class S>
void gated_part_forward(const Reference&, F f, PartGate part, View<const S, 3> x, const long* lengths, View<S, 3> y) {
  const long width = y.shape[2];
  for (long n = 0; n < y.shape[0]; ++n)
    for (long t = 0; t < y.shape[1]; ++t) {
      const S* v = x.data + n * x.stride[0] + t * x.stride[1] + part.value * width;
      const S* g = x.data + n * x.stride[0] + t * x.stride[1] + part.gate * width;
      S* to = y.data + n * y.stride[0] + t * y.stride[1];
      const bool real = !lengths || t < lengths[n];
      for (long c = 0; c < width; ++c) to[c] = real ? v[c] * f.value(g[c]) : S(0);
    }
}
/// dvalue = dy f(gate), dgate = dy value f'(gate); the other parts get no gradient.
template <class F, class S>
void gated_part_backward(const Reference&, F f, PartGate part, View<const S, 3> dy, View<const S, 3> x,
                         const long* lengths, Sink<S, 3> dx) {
  const long width = dy.shape[2], all = part.parts * width;
  for (long n = 0; n < dx.shape[0]; ++n)
    for (long t = 0; t < dx.shape[1]; ++t) {
      const S* from = x.data + n * x.stride[0] + t * x.stride[1];
      const S* d = dy.data + n * dy.stride[0] + t * dy.stride[1];
      const long row = (n * dx.shape[1] + t) * all;
      const bool real = !lengths || t < lengths[n];
      if (!dx.add) std::fill_n(dx.data + row, all, S(0));
      for (long c = 0; real && c < width; ++c) {
        const S open = f.value(from[part.gate * width + c]);
        dx.data[row + part.value * width + c] += d[c] * open;
        dx.data[row + part.gate * width + c] += d[c] * from[part.value * width + c] * f.slope_from_value(open);
      }
    }
}
/// y = m · part `value` of x, and its two gradients.
template <class S>
void multiply_part_forward(const Reference&, View<const S, 2> m, View<const S, 2> x, long value, View<S, 2> y) {
  const long width = y.shape[1];
  for (long r = 0; r < y.shape[0]; ++r)
    for (long c = 0; c < width; ++c) y.row(r)[c] = m.row(r)[c] * x.row(r)[value * width + c];
}
template <class S>
void multiply_part_backward(const Reference&, View<const S, 2> dy, View<const S, 2> m, View<const S, 2> x, long value,
                            Sink<S, 2> dm, Sink<S, 2> dx) {
  const long width = dy.shape[1];
  for (long r = 0; r < dy.shape[0]; ++r) {
    for (long c = 0; dm && c < width; ++c) dm.put(r * width + c, dy.row(r)[c] * x.row(r)[value * width + c]);
    if (!dx) continue;
    if (!dx.add) std::fill_n(dx.row(r), dx.shape[1], S(0));
    for (long c = 0; c < width; ++c) dx.row(r)[value * width + c] += dy.row(r)[c] * m.row(r)[c];
  }
}

#define PHONAUT_GATE_KERNELS_ON(B, F)                                                                                 \
  void gated_part_forward(const B& backend, formula::F f, PartGate part, View<const float, 3> x, const long* lengths, \
                          View<float, 3> y);                                                                          \
  void gated_part_backward(const B& backend, formula::F f, PartGate part, View<const float, 3> dy,                    \
                           View<const float, 3> x, const long* lengths, Sink<float, 3> dx);
#define PHONAUT_GATE_KERNELS(F)   \
  PHONAUT_GATE_KERNELS_ON(Cpu, F) \
  PHONAUT_GATE_KERNELS_ON(Cuda, F)
PHONAUT_GATE_KERNELS(SigmoidGate)
PHONAUT_GATE_KERNELS(TanhGate)
#undef PHONAUT_GATE_KERNELS
#undef PHONAUT_GATE_KERNELS_ON
void multiply_part_forward(const Cpu& cpu, View<const float, 2> m, View<const float, 2> x, long value,
                           View<float, 2> y);
void multiply_part_backward(const Cpu& cpu, View<const float, 2> dy, View<const float, 2> m, View<const float, 2> x,
                            long value, Sink<float, 2> dm, Sink<float, 2> dx);
void multiply_part_forward(const Cuda& cuda, View<const float, 2> m, View<const float, 2> x, long value,
                           View<float, 2> y);
void multiply_part_backward(const Cuda& cuda, View<const float, 2> dy, View<const float, 2> m, View<const float, 2> x,
                            long value, Sink<float, 2> dm, Sink<float, 2> dx);

}  // namespace kernel

/// Frames (N, T, C) of value · f(gate), where x (N, T, parts · C) holds value and gate among its parts; 0 beyond the
/// lengths. f is a formula with `slope_from_value` (ops/formula/gate.hpp). Throws ShapeError if the parts do not divide
/// the channels.
template <class F, class B>
Sequence<B> gated_part(const Sequence<B>& in, PartGate part, F f = {}) {
  check_lengths("gated_part", in);
  if (in.channels() % part.parts != 0)
    throw ShapeError(concat("gated_part: input of shape ", text(in.frames.shape()), " has ", in.channels(),
                            " channels, which do not divide into ", part.parts, " parts"));
  const Var<B, 3> x = in.frames;
  auto& ctx = x.context();
  auto y = ctx.empty(Shape<3>{x.extent(0), x.extent(1), x.extent(2) / part.parts});
  using kernel::gated_part_forward;
  gated_part_forward(ctx.backend(), f, part, x.in(), in.length_data(), y.out());
  return in.with(record(
      std::move(y),
      [x, f, part, lengths = in.lengths](Context<B>& c, const Tensor<B, 3>& dy) {
        using kernel::gated_part_backward;
        if (auto dx = c.sink(x))
          gated_part_backward(c.backend(), f, part, dy.in(), x.in(), lengths ? lengths.data() : nullptr, dx);
      },
      x));
}

/// m · part `value` of x, where x has `parts` times the channels of m. Throws ShapeError if it has not.
template <class B, size_t R>
Var<B, R> multiply_part(const Var<B, R>& any_m, const Var<B, R>& any_x, long parts, long value) {
  Shape<R> want = any_m.shape();
  want[R - 1] *= parts;
  check_same_shape("multiply_part", "the whole", any_x.shape(), "what the factor needs", want);
  const Var<B, R> m = rowwise(any_m), x = rowwise(any_x);
  auto& ctx = x.context();
  auto y = ctx.empty(m.shape());
  kernel::multiply_part_forward(ctx.backend(), as_rows(m.in()), as_rows(x.in()), value, as_rows(y.out()));
  return record(
      std::move(y),
      [m, x, value](Context<B>& c, const Tensor<B, R>& dy) {
        kernel::multiply_part_backward(c.backend(), as_rows(dy.in()), as_rows(m.in()), as_rows(x.in()), value,
                                       as_rows(c.sink(m)), as_rows(c.sink(x)));
      },
      m, x);
}

}  // namespace phonaut
