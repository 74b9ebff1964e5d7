#pragma once
// Group normalisation over frames: every group of channels is normalised over all real frames of an utterance. With as
// many groups as channels it is instance normalisation. Wu and He, "Group normalization", 2018.
#include "phonaut/core/math.hpp"
#include "phonaut/core/sequence.hpp"
#include "phonaut/ops/shape.hpp"
#include "phonaut/ops/wide.hpp"

namespace phonaut {

namespace kernel {

/// y = (x - mean) rstd · gain + bias over frames below lengths[n] (all of them where lengths is null); 0 beyond them.
/// `stats` (N, groups, 2) gets mean and rstd. gain, bias: (C) or null.
template <class S>
void group_norm_forward(const Reference&, View<const S, 3> x, const long* lengths, long groups, const S* gain,
                        const S* bias, double epsilon, View<S, 3> y, View<S, 3> stats) {
  using math::sqrt;
  using W = Wide<S>;
  const long width = x.shape[2] / groups;
  for (long n = 0; n < x.shape[0]; ++n) {
    const long time = lengths ? lengths[n] : x.shape[1];
    const W count = W(double(time * width));
    for (long g = 0; g < groups; ++g) {
      const auto each = [&](const auto& f) {
        for (long t = 0; t < time; ++t)
          for (long c = g * width; c < (g + 1) * width; ++c) f(t, c);
      };
      W total = 0, square = 0;
      each([&](long t, long c) { total += W(x(n, t, c)); });
      const W mean = time > 0 ? total / count : W(0);
      each([&](long t, long c) { square += (W(x(n, t, c)) - mean) * (W(x(n, t, c)) - mean); });
      const W rstd = W(1) / sqrt((time > 0 ? square / count : W(0)) + W(epsilon));
      each([&](long t, long c) {
        const W normed = (W(x(n, t, c)) - mean) * rstd;
        y(n, t, c) = S(normed * (gain ? W(gain[c]) : W(1)) + (bias ? W(bias[c]) : W(0)));
      });
      stats(n, g, 0) = S(mean);
      stats(n, g, 1) = S(rstd);
    }
    for (long t = time; t < x.shape[1]; ++t)
      for (long c = 0; c < x.shape[2]; ++c) y(n, t, c) = S(0);
  }
}
/// The derivative of layer normalisation (ops/layer_norm.hpp), with a group's real frames in the place of a row.
/// `partial` (N, 2C) is scratch; empty when neither dgain nor dbias is wanted.
template <class S>
void group_norm_backward(const Reference&, View<const S, 3> dy, View<const S, 3> x, const long* lengths, long groups,
                         const S* gain, View<const S, 3> stats, Sink<S, 3> dx, Sink<S, 1> dgain, Sink<S, 1> dbias,
                         View<S, 2>) {
  using W = Wide<S>;
  const long width = x.shape[2] / groups, all = x.shape[1], channels = x.shape[2];
  const auto length = [&](long n) { return lengths ? lengths[n] : all; };
  const auto normed = [&](long n, long t, long c) {
    return (W(x(n, t, c)) - W(stats(n, c / width, 0))) * W(stats(n, c / width, 1));
  };
  const auto h = [&](long n, long t, long c) { return W(dy(n, t, c)) * (gain ? W(gain[c]) : W(1)); };
  for (long n = 0; dx && n < x.shape[0]; ++n) {
    const W count = W(double(std::max(1L, length(n) * width)));
    for (long g = 0; g < groups; ++g) {
      W sum_h = 0, sum_hz = 0;
      for (long t = 0; t < length(n); ++t)
        for (long c = g * width; c < (g + 1) * width; ++c) {
          sum_h += h(n, t, c);
          sum_hz += h(n, t, c) * normed(n, t, c);
        }
      const W mean_h = sum_h / count, mean_hz = sum_hz / count, rstd = stats(n, g, 1);
      for (long t = 0; t < all; ++t)
        for (long c = g * width; c < (g + 1) * width; ++c)
          dx.put((n * all + t) * channels + c,
                 t < length(n) ? S(rstd * (h(n, t, c) - mean_h - normed(n, t, c) * mean_hz)) : S(0));
    }
  }
  for (long c = 0; (dgain || dbias) && c < channels; ++c) {
    W to_gain = 0, to_bias = 0;
    for (long n = 0; n < x.shape[0]; ++n)
      for (long t = 0; t < length(n); ++t) {
        to_gain += W(dy(n, t, c)) * normed(n, t, c);
        to_bias += W(dy(n, t, c));
      }
    if (dgain) dgain.put(c, S(to_gain));
    if (dbias) dbias.put(c, S(to_bias));
  }
}

void group_norm_forward(const Cpu& cpu, View<const float, 3> x, const long* lengths, long groups, const float* gain,
                        const float* bias, double epsilon, View<float, 3> y, View<float, 3> stats);
void group_norm_backward(const Cpu& cpu, View<const float, 3> dy, View<const float, 3> x, const long* lengths,
                         long groups, const float* gain, View<const float, 3> stats, Sink<float, 3> dx,
                         Sink<float, 1> dgain, Sink<float, 1> dbias, View<float, 2> partial);
void group_norm_forward(const Cuda& cuda, View<const float, 3> x, const long* lengths, long groups, const float* gain,
                        const float* bias, double epsilon, View<float, 3> y, View<float, 3> stats);
void group_norm_backward(const Cuda& cuda, View<const float, 3> dy, View<const float, 3> x, const long* lengths,
                         long groups, const float* gain, View<const float, 3> stats, Sink<float, 3> dx,
                         Sink<float, 1> dgain, Sink<float, 1> dbias, View<float, 2>);

}  // namespace kernel

/// Normalises `groups` groups of channels over the real frames of each utterance; gain and bias (C) or absent. Frames
/// beyond an utterance's length become 0. Throws ShapeError if groups do not divide the channels.
template <class B>
Sequence<B> group_norm(const Sequence<B>& in, long groups, Weight<B, 1> gain = {}, Weight<B, 1> bias = {},
                       double epsilon = 1e-5) {
  const Shape<3> shape = in.frames.shape();
  if (groups < 1 || shape[2] % groups != 0)
    throw ShapeError(
        concat("group_norm: the ", shape[2], " channels of ", text(shape), " do not divide into ", groups, " groups"));
  if (gain) check_channels("group_norm", shape, gain.extent(0), "the gain ", gain.shape());
  if (bias) check_channels("group_norm", shape, bias.extent(0), "the bias ", bias.shape());
  check_lengths("group_norm", in);
  const Var<B, 3> x = in.frames;
  auto& ctx = x.context();
  const Var<B, 1> g = ctx.lift(gain), b = ctx.lift(bias);
  auto y = ctx.empty(shape);
  const Tensor<B, 3> stats = ctx.empty(Shape<3>{shape[0], groups, 2});
  kernel::group_norm_forward(ctx.backend(), x.in(), in.length_data(), groups, detail::data_of(g), detail::data_of(b),
                             epsilon, y.out(), stats.out());
  return in.with(record(
      std::move(y),
      [x, lengths = in.lengths, groups, stats, g, b](Context<B>& c, const Tensor<B, 3>& dy) {
        const auto dg = c.sink(g), db = c.sink(b);
        Tensor<B, 2> partial;
        if (dg || db) partial = c.empty(Shape<2>{x.extent(0), 2 * x.extent(2)});
        kernel::group_norm_backward(c.backend(), dy.in(), x.in(), lengths ? lengths.data() : nullptr, groups,
                                    detail::data_of(g), stats.in(), c.sink(x), dg, db, partial.out());
      },
      x, g, b));
}

}  // namespace phonaut
