#pragma once
// A depthwise convolution that never looks beyond the end of its chunk. Yao et al., "Zipformer", 2023
// (ChunkCausalDepthwiseConv1d).
#include "phonaut/core/sequence.hpp"
#include "phonaut/ops/chunk_causal_filters.hpp"
#include "phonaut/ops/shape.hpp"
#include "phonaut/ops/wide.hpp"

namespace phonaut {

namespace kernel {

namespace detail {

/// scale[i] of a channel; see ChunkCausalFilters.
template <class S>
Wide<S> chunk_edge_scale(const ChunkCausalFilters<S>& f, long c, long i, long size) {
  using W = Wide<S>;
  const long taps = f.taps(), right = taps - size + i;
  return W(1) + (i < taps ? W(f.edge(0, c, i)) : W(0)) + (right >= 0 ? W(f.edge(1, c, right)) : W(0));
}
/// Range of taps whose frame t + k - P lies in [begin, end).
struct Taps {
  long first, last;
  Taps(long t, long half, long taps, long begin, long end)
      : first(std::max(0L, begin - t + half)), last(std::min(taps, end - t + half)) {}
};

}  // namespace detail

template <class S>
void chunk_causal_conv1d_forward(const Reference&, const ChunkCausalFilters<S>& f, View<const S, 3> x, View<S, 3> y) {
  using W = Wide<S>;
  const long time = x.shape[1], taps = f.taps(), half = taps / 2;
  for (long n = 0; n < x.shape[0]; ++n) {
    const long size = f.chunk_of(n, time);
    for (long t = 0; t < time; ++t) {
      const long begin = t / size * size, end = std::min(time, begin + size);
      const detail::Taps causal(t, half, half + 1, 0, time), inside(t, half, taps, begin, end);
      for (long c = 0; c < x.shape[2]; ++c) {
        W past = W(f.causal_bias[c]), chunkwise = W(f.chunk_bias[c]);
        for (long k = causal.first; k < causal.last; ++k) past += W(f.causal_weight(c, k)) * W(x(n, t + k - half, c));
        for (long k = inside.first; k < inside.last; ++k)
          chunkwise += W(f.chunk_weight(c, k)) * W(x(n, t + k - half, c));
        y(n, t, c) = S(past + chunkwise * detail::chunk_edge_scale(f, c, t - begin, size));
      }
    }
  }
}
/// With g = dy · scale: both filters see their own dy (dy, or g inside of the chunk), and dedge collects dy ·
/// chunkwise, which is computed again.
template <class S>
void chunk_causal_conv1d_backward(const Reference&, const ChunkCausalFilters<S>& f, View<const S, 3> dy,
                                  View<const S, 3> x, Sink<S, 3> dx, const ChunkCausalSinks<S>& d) {
  using W = Wide<S>;
  const long batch = x.shape[0], time = x.shape[1], channels = x.shape[2], taps = f.taps(), half = taps / 2;
  for (long c = 0; c < channels; ++c) {
    // Sums over all frames are kept wide; a channel's filters are short.
    const auto collect = [&](auto&& sink, long at, auto&& term) {
      W total = 0;
      for (long n = 0; n < batch; ++n) {
        const long size = f.chunk_of(n, time);
        for (long t = 0; t < time; ++t) {
          const long begin = t / size * size;
          total += term(n, t, begin, std::min(time, begin + size), size);
        }
      }
      sink.put(at, S(total));
    };
    const auto scaled = [&](long n, long t, long begin, long size) {
      return W(dy(n, t, c)) * detail::chunk_edge_scale(f, c, t - begin, size);
    };
    for (long k = 0; d.causal_weight && k <= half; ++k)
      collect(d.causal_weight, c * (half + 1) + k, [&](long n, long t, long, long, long) {
        const long s = t + k - half;
        return s < 0 ? W(0) : W(dy(n, t, c)) * W(x(n, s, c));
      });
    for (long k = 0; d.chunk_weight && k < taps; ++k)
      collect(d.chunk_weight, c * taps + k, [&](long n, long t, long begin, long end, long size) {
        const long s = t + k - half;
        return s < begin || s >= end ? W(0) : scaled(n, t, begin, size) * W(x(n, s, c));
      });
    if (d.causal_bias) collect(d.causal_bias, c, [&](long n, long t, long, long, long) { return W(dy(n, t, c)); });
    if (d.chunk_bias)
      collect(d.chunk_bias, c, [&](long n, long t, long begin, long, long size) { return scaled(n, t, begin, size); });
    for (long side = 0; d.edge && side < 2; ++side)
      for (long k = 0; k < taps; ++k)
        collect(d.edge, (side * channels + c) * taps + k, [&](long n, long t, long begin, long end, long size) {
          const long i = t - begin;
          if ((side == 0 ? i : taps - size + i) != k) return W(0);
          W chunkwise = W(f.chunk_bias[c]);
          const detail::Taps inside(t, half, taps, begin, end);
          for (long j = inside.first; j < inside.last; ++j)
            chunkwise += W(f.chunk_weight(c, j)) * W(x(n, t + j - half, c));
          return W(dy(n, t, c)) * chunkwise;
        });
    for (long n = 0; dx && n < batch; ++n) {
      const long size = f.chunk_of(n, time);
      for (long s = 0; s < time; ++s) {
        const long begin = s / size * size, end = std::min(time, begin + size);
        W total = 0;
        for (long t = s; t <= std::min(time - 1, s + half); ++t)
          total += W(dy(n, t, c)) * W(f.causal_weight(c, s - t + half));
        for (long t = std::max(begin, s - half); t < std::min(end, s + half + 1); ++t)
          total += scaled(n, t, begin, size) * W(f.chunk_weight(c, s - t + half));
        dx.put((n * time + s) * channels + c, S(total));
      }
    }
  }
}

void chunk_causal_conv1d_forward(const Cpu& cpu, const ChunkCausalFilters<float>& f, View<const float, 3> x,
                                 View<float, 3> y);
void chunk_causal_conv1d_backward(const Cpu& cpu, const ChunkCausalFilters<float>& f, View<const float, 3> dy,
                                  View<const float, 3> x, Sink<float, 3> dx, const ChunkCausalSinks<float>& d);
void chunk_causal_conv1d_forward(const Cuda& cuda, const ChunkCausalFilters<float>& f, View<const float, 3> x,
                                 View<float, 3> y);
void chunk_causal_conv1d_backward(const Cuda& cuda, const ChunkCausalFilters<float>& f, View<const float, 3> dy,
                                  View<const float, 3> x, Sink<float, 3> dx, const ChunkCausalSinks<float>& d);

}  // namespace kernel

/// Weights of a chunk-causal convolution, shaped as in published checkpoints.
template <class B>
struct ChunkCausalWeights {
  Weight<B, 3> causal_weight;  ///< (C, 1, (K + 1) / 2)
  Weight<B, 1> causal_bias;    ///< (C)
  Weight<B, 3> chunk_weight;   ///< (C, 1, K), K odd
  Weight<B, 1> chunk_bias;     ///< (C)
  Weight<B, 3> edge;           ///< (2, C, K)
};

/// Frames (N, T, C) -> (N, T, C), see kernel::ChunkCausalFilters. A negative `chunk`, or one longer than what there is,
/// means one chunk: of the whole utterance with Padding::masked, of the whole batch with Padding::reference (in either
/// case the scale depends on how long that is). Throws ShapeError for weights that do not fit, ConfigError if chunk is
/// 0.
template <class B>
Sequence<B> chunk_causal_conv1d(const Sequence<B>& in, const ChunkCausalWeights<B>& weights, long chunk,
                                Padding padding = Padding::masked) {
  using S = typename B::Scalar;
  check_lengths("chunk_causal_conv1d", in);
  const long channels = in.channels(), taps = weights.chunk_weight.extent(2);
  if (chunk == 0) throw ConfigError("chunk_causal_conv1d: a chunk of 0 frames is none; negative means no chunks");
  check_channels("chunk_causal_conv1d", in.frames.shape(), weights.chunk_weight.extent(0), "weight ",
                 weights.chunk_weight.shape());
  if (taps % 2 == 0 || weights.chunk_weight.extent(1) != 1 ||
      weights.causal_weight.shape() != Shape<3>{channels, 1, (taps + 1) / 2} ||
      weights.edge.shape() != Shape<3>{2, channels, taps})
    throw ShapeError(concat("chunk_causal_conv1d: weights ", text(weights.chunk_weight.shape()), ", ",
                            text(weights.causal_weight.shape()), " and ", text(weights.edge.shape()),
                            " are not (C, 1, K), (C, 1, (K + 1) / 2) and (2, C, K) with an odd K"));
  const Var<B, 3> x = in.frames;
  auto& ctx = x.context();
  struct Lifted {
    Var<B, 3> causal_weight;
    Var<B, 1> causal_bias;
    Var<B, 3> chunk_weight;
    Var<B, 1> chunk_bias;
    Var<B, 3> edge;
    Lengths lengths;
    long chunk;

    kernel::ChunkCausalFilters<S> filters() const {
      return {as_rows(causal_weight.in()),
              causal_bias.in().data,
              as_rows(chunk_weight.in()),
              chunk_bias.in().data,
              edge.in(),
              chunk,
              lengths ? lengths.data() : nullptr};
    }
  };
  const Lifted w{ctx.lift(weights.causal_weight),
                 ctx.lift(weights.causal_bias),
                 ctx.lift(weights.chunk_weight),
                 ctx.lift(weights.chunk_bias),
                 ctx.lift(weights.edge),
                 padding == Padding::masked ? in.lengths : Lengths(),
                 chunk};
  auto y = ctx.empty(x.shape());
  kernel::chunk_causal_conv1d_forward(ctx.backend(), w.filters(), x.in(), y.out());
  return in.with(record(
      std::move(y),
      [x, w](Context<B>& c, const Tensor<B, 3>& dy) {
        const kernel::ChunkCausalSinks<S> sinks{as_rows(c.sink(w.causal_weight)), c.sink(w.causal_bias),
                                                as_rows(c.sink(w.chunk_weight)), c.sink(w.chunk_bias), c.sink(w.edge)};
        kernel::chunk_causal_conv1d_backward(c.backend(), w.filters(), dy.in(), x.in(), c.sink(x), sinks);
      },
      x, w.causal_weight, w.causal_bias, w.chunk_weight, w.chunk_bias, w.edge));
}

}  // namespace phonaut
