#pragma once
// The cheap half of the pruned transducer: a joiner that only adds what the encoder and the decoder say, and the nodes
// that it finds worth a closer look. F. Kuang et al., "Pruned RNN-T for fast, memory-efficient ASR training", 2022.
#include <algorithm>
#include <limits>
#include <vector>

#include "phonaut/core/full_precision.hpp"
#include "phonaut/losses/rnnt.hpp"
#include "phonaut/ops/embedding.hpp"
#include "phonaut/ops/gemm.hpp"

namespace phonaut {

namespace kernel {

/// e^(x - m) for each row, with m (rows) its largest number.
template <class S>
void exp_below_peak(View<const S, 2> x, View<S, 2> y, S* peaks) {
  using math::exp;
  for (long r = 0; r < x.shape[0]; ++r) {
    const S* from = x.row(r);
    S top = from[0];
    for (long v = 1; v < x.shape[1]; ++v)
      if (top < from[v]) top = from[v];
    for (long v = 0; v < x.shape[1]; ++v) y.row(r)[v] = exp(from[v] - top);
    peaks[r] = top;
  }
}

/// Scratch of the two kernels below: the exponentials of both sides, their largest logarithms, and two matrices of
/// gradients of exponentials.
inline long simple_arcs_scratch(long time, long nodes, long classes) {
  return 2 * (time + nodes) * classes + time + nodes + time * nodes;
}
template <class S>
struct SimpleArcsScratch {
  View<S, 2> am, lm, dam, dlm, coefficient;
  S *am_peaks, *lm_peaks;

  SimpleArcsScratch(S* data, long time, long nodes, long classes) {
    const auto take = [&](long rows, long width) {
      const View<S, 2> part(data, {rows, width});
      data += rows * width;
      return part;
    };
    am = take(time, classes), lm = take(nodes, classes), dam = take(time, classes), dlm = take(nodes, classes);
    coefficient = take(time, nodes);
    am_peaks = data, lm_peaks = data + time;
  }
};

/// arcs (N, T, 2U + 1) = first the symbols, then the blanks, of the logits am(t, v) + lm(s, v): their normaliser is
/// log Σ_v e^am e^lm, one matrix product. Its `sums` (N, T, U + 1), of exponentials below the peaks, go backward.
template <class B, class S>
void simple_arcs_forward(const B& backend, long blank, View<const S, 3> am, View<const S, 3> lm,
                         View<const std::int32_t, 2> labels, const long* label_lengths, S* scratch, View<S, 3> sums,
                         View<S, 3> arcs) {
  using math::log;
  const long time = am.shape[1], nodes = lm.shape[1], classes = am.shape[2];
  const SimpleArcsScratch<S> e(scratch, time, nodes, classes);
  for (long n = 0; n < am.shape[0]; ++n) {
    exp_below_peak(am[n], e.am, e.am_peaks);
    exp_below_peak(lm[n], e.lm, e.lm_peaks);
    gemm(backend, Gemm<S>{.m = time,
                          .n = nodes,
                          .k = classes,
                          .a = e.am.data,
                          .a_row = classes,
                          .b = e.lm.data,
                          .b_row = 1,
                          .b_col = classes,
                          .c = sums.data + n * sums.stride[0],
                          .c_row = nodes});
    for (long t = 0; t < time; ++t)
      for (long s = 0; s < nodes; ++s) {
        // Where the two sides agree on nothing, the sum may be too small for a float.
        if (sums(n, t, s) < S(std::numeric_limits<float>::min())) sums(n, t, s) = S(std::numeric_limits<float>::min());
        const S norm = log(sums(n, t, s)) + e.am_peaks[t] + e.lm_peaks[s];
        arcs(n, t, nodes - 1 + s) = am(n, t, blank) + lm(n, s, blank) - norm;
        if (s + 1 == nodes) continue;
        const long label = s < label_lengths[n] ? labels(n, s) : blank;
        arcs(n, t, s) = am(n, t, label) + lm(n, s, label) - norm;
      }
  }
}
/// dam(t, v) = Σ_s [v = label] dsymbol + [v = blank] dblank - (dsymbol + dblank) e^(am + lm - norm), and dlm likewise
/// over t.
template <class B, class S>
void simple_arcs_backward(const B& backend, long blank, View<const S, 3> darcs, View<const S, 3> am,
                          View<const S, 3> lm, View<const std::int32_t, 2> labels, const long* label_lengths,
                          View<const S, 3> sums, S* scratch, Sink<S, 3> dam, Sink<S, 3> dlm) {
  const long time = am.shape[1], nodes = lm.shape[1], classes = am.shape[2];
  const SimpleArcsScratch<S> e(scratch, time, nodes, classes);
  for (long n = 0; n < am.shape[0]; ++n) {
    exp_below_peak(am[n], e.am, e.am_peaks);
    exp_below_peak(lm[n], e.lm, e.lm_peaks);
    const auto symbol = [&](long t, long s) {
      return s < std::min(nodes - 1, label_lengths[n]) ? darcs(n, t, s) : S(0);
    };
    const auto on = [&](long t, long s) { return darcs(n, t, nodes - 1 + s); };
    for (long t = 0; t < time; ++t)
      for (long s = 0; s < nodes; ++s) e.coefficient(t, s) = -(symbol(t, s) + on(t, s)) / sums(n, t, s);
    gemm(backend, Gemm<S>{.m = time,
                          .n = classes,
                          .k = nodes,
                          .a = e.coefficient.data,
                          .a_row = nodes,
                          .b = e.lm.data,
                          .b_row = classes,
                          .c = e.dam.data,
                          .c_row = classes});
    gemm(backend, Gemm<S>{.m = nodes,
                          .n = classes,
                          .k = time,
                          .a = e.coefficient.data,
                          .a_row = 1,
                          .a_col = nodes,
                          .b = e.am.data,
                          .b_row = classes,
                          .c = e.dlm.data,
                          .c_row = classes});
    for (long t = 0; t < time; ++t)
      for (long v = 0; v < classes; ++v) e.dam(t, v) *= e.am(t, v);
    for (long s = 0; s < nodes; ++s)
      for (long v = 0; v < classes; ++v) e.dlm(s, v) *= e.lm(s, v);
    for (long t = 0; t < time; ++t)
      for (long s = 0; s < nodes; ++s) {
        e.dam(t, blank) += on(t, s), e.dlm(s, blank) += on(t, s);
        if (s >= std::min(nodes - 1, label_lengths[n])) continue;
        e.dam(t, labels(n, s)) += symbol(t, s), e.dlm(s, labels(n, s)) += symbol(t, s);
      }
    for (long i = 0; dam && i < time * classes; ++i) dam.put(n * time * classes + i, e.dam.data[i]);
    for (long i = 0; dlm && i < nodes * classes; ++i) dlm.put(n * nodes * classes + i, e.dlm.data[i]);
  }
}

}  // namespace kernel

/// Arcs of the logits am(t, v) + lm(s, v), from what the encoder says at each frame, am (N, T, V), and the decoder
/// after so many labels, lm (N, U + 1, V). The logits themselves are never in memory. Throws ShapeError for sides that
/// do not fit together or to the transcripts, and for labels that are no class or the blank.
template <class B>
LatticeArcs<B> simple_joiner_arcs(const Var<B, 3>& any_am, const Var<B, 3>& any_lm, const Transcripts<B>& transcripts,
                                  long blank = 0) {
  const long batch = any_am.extent(0), time = any_am.extent(1), nodes = any_lm.extent(1), classes = any_am.extent(2);
  if (any_lm.extent(0) != batch || any_lm.extent(2) != classes)
    throw ShapeError(concat("simple_joiner_arcs: the encoder says ", text(any_am.shape()), " but the decoder ",
                            text(any_lm.shape()), "; batch and classes must agree"));
  detail::check_labels("simple_joiner_arcs", transcripts, blank, classes);
  detail::check_lattice("simple_joiner_arcs", Shape<3>{batch, time, nodes}, {}, transcripts);
  const Var<B, 3> am = packed(any_am), lm = packed(any_lm);
  auto& ctx = am.context();
  const FullPrecision full(ctx);
  const auto scratch = [=](Context<B>& c) {
    return c.empty(Shape<1>{kernel::simple_arcs_scratch(time, nodes, classes)});
  };
  const Tensor<B, 3> sums = ctx.empty(Shape<3>{batch, time, nodes});
  auto arcs = ctx.empty(Shape<3>{batch, time, 2 * nodes - 1});
  kernel::simple_arcs_forward(ctx.backend(), blank, am.in(), lm.in(), transcripts.labels.in(),
                              transcripts.lengths.data(), scratch(ctx).data(), sums.out(), arcs.out());
  const Var<B, 3> both = record(
      std::move(arcs),
      [=](Context<B>& c, const Tensor<B, 3>& darcs) {
        const auto dam = c.sink(am), dlm = c.sink(lm);
        kernel::simple_arcs_backward(c.backend(), blank, darcs.in(), am.in(), lm.in(), transcripts.labels.in(),
                                     transcripts.lengths.data(), sums.in(), scratch(c).data(), dam, dlm);
      },
      am, lm);
  return {slice(both, 2, 0, nodes - 1), slice(both, 2, nodes - 1, 2 * nodes - 1)};
}

/// For each frame the `range` nodes whose arcs are taken most, adjusted so that a path fits through: windows begin at
/// node 0, end at the last, and from frame to frame move on by less than `range`, by one at most where a frame emits
/// one label at most. Fewer nodes where the lattice has no more. Throws ConfigError for a range below 2.
template <class B>
NodeWindows<B> prune_windows(Context<B>& ctx, const Occupancies<B>& occupancies, const Transcripts<B>& transcripts,
                             long range, const Lengths& lengths = {},
                             TransducerTopology topology = TransducerTopology::regular) {
  if (range < 2) throw ConfigError(concat("prune_windows: a range of ", range, " nodes lets no label out"));
  const Shape<3> shape = occupancies.blanks.shape();
  const long width = std::min(range, shape[2]), step = topology == TransducerTopology::regular ? width - 1 : 1;
  const auto symbols = occupancies.symbols.in(), blanks = occupancies.blanks.in();
  NodeWindows<B> out{ctx.template empty_of<std::int32_t, 2>({shape[0], shape[1]}), width};
  for (long n = 0; n < shape[0]; ++n) {
    const long frames = lengths ? lengths.data()[n] : shape[1], labels = transcripts.lengths.data()[n];
    const long last = std::max(0L, labels + 1 - width);
    std::vector<long> first(static_cast<size_t>(shape[1]), last);
    const auto at = [&](long t) -> long& { return first[static_cast<size_t>(t)]; };
    for (long t = 0; t + 1 < frames; ++t) {
      double most = -1;
      for (long s = 0; s <= last; ++s) {
        double taken = 0;
        for (long r = s; r < std::min(s + width, labels + 1); ++r)
          taken += static_cast<double>(blanks(n, t, r)) + (r < labels ? static_cast<double>(symbols(n, t, r)) : 0.0);
        if (taken > most) most = taken, at(t) = s;
      }
    }
    for (long t = frames - 1; t-- > 0;) at(t) = std::min(at(t), at(t + 1));
    for (long t = frames - 1; t-- > 0;) at(t) = std::max(at(t), at(t + 1) - step);
    for (long t = 0; t < frames; ++t) at(t) = std::min(at(t), step * t);
    std::copy(first.begin(), first.end(), out.first.data() + n * shape[1]);
  }
  return out;
}

/// What the decoder says at the nodes of each frame's window: decoder (N, U + 1, C) -> (N, T, R, C), for a joiner to
/// combine with what the encoder says at that frame. Throws ShapeError for windows beyond the nodes.
template <class B>
Var<B, 4> window_nodes(const Var<B, 3>& any_decoder, const NodeWindows<B>& windows) {
  const Var<B, 3> decoder = packed(any_decoder);
  auto& ctx = decoder.context();
  const long batch = windows.first.extent(0), time = windows.first.extent(1), nodes = decoder.extent(1);
  if (batch != decoder.extent(0))
    throw ShapeError(concat("window_nodes: the decoder says ", text(decoder.shape()), ", but there are windows of ",
                            batch, " utterances"));
  const auto ids = ctx.template empty_of<std::int32_t, 3>({batch, time, windows.width});
  detail::read_on_host(ctx, windows.first, [&](const std::int32_t* first) {
    detail::fill_from_host(ctx, ids, [&](std::int32_t* to) {
      for (long i = 0; i < ids.size(); ++i) {
        const long row = i / windows.width, node = first[row] + i % windows.width;
        if (node < 0 || node >= nodes)
          throw ShapeError(concat("window_nodes: node ", node, " at frame ", row % time, " of utterance ", row / time,
                                  " is outside of 0 … ", nodes - 1));
        to[i] = static_cast<std::int32_t>(row / time * nodes + node);
      }
    });
  });
  return embedding(ctx, ids, Weight<B, 2>(reshape(decoder, Shape<2>{batch * nodes, decoder.extent(2)})));
}

}  // namespace phonaut
