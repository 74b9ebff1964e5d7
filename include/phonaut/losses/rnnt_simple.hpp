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
void exp_below_peak(const Reference&, View<const S, 2> x, View<S, 2> y, S* peaks) {
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

/// arcs (N, T, 2U + 1) = first the symbols, then the blanks, of the logits am(t, v) + lm(s, v), whose normaliser is
/// log Σ_v e^am e^lm: `sums` (N, T, U + 1) of exponentials below the peaks of both sides.
template <class S>
void simple_arcs(const Reference&, long blank, View<const S, 3> am, View<const S, 3> lm, View<const S, 2> am_peaks,
                 View<const S, 2> lm_peaks, View<const std::int32_t, 2> labels, const long* label_lengths,
                 View<S, 3> sums, View<S, 3> arcs) {
  using math::log;
  const long time = am.shape[1], nodes = lm.shape[1];
  // Where the two sides agree on nothing, the sum may be too small for a float.
  const S least(std::numeric_limits<float>::min());
  for (long n = 0; n < am.shape[0]; ++n)
    for (long t = 0; t < time; ++t)
      for (long s = 0; s < nodes; ++s) {
        if (sums(n, t, s) < least) sums(n, t, s) = least;
        const S norm = log(sums(n, t, s)) + am_peaks(n, t) + lm_peaks(n, s);
        arcs(n, t, nodes - 1 + s) = am(n, t, blank) + lm(n, s, blank) - norm;
        if (s + 1 == nodes) continue;
        const long label = s < label_lengths[n] ? labels(n, s) : blank;
        arcs(n, t, s) = am(n, t, label) + lm(n, s, label) - norm;
      }
}
/// slopes (N, T, U + 1) of the loss by the sums.
template <class S>
void simple_arc_slopes(const Reference&, View<const S, 3> darcs, const long* label_lengths, View<const S, 3> sums,
                       View<S, 3> slopes) {
  const long nodes = sums.shape[2];
  for (long n = 0; n < sums.shape[0]; ++n)
    for (long t = 0; t < sums.shape[1]; ++t)
      for (long s = 0; s < nodes; ++s) {
        const S symbol = s < std::min(nodes - 1, label_lengths[n]) ? darcs(n, t, s) : S(0);
        slopes(n, t, s) = -(symbol + darcs(n, t, nodes - 1 + s)) / sums(n, t, s);
      }
}
/// dam(t, v) = e^am Σ_s slope e^lm + Σ_s [v = label] dsymbol + [v = blank] dblank, and dlm likewise over t. The first
/// sums, by the exponentials of either side, come in by_am and by_lm, which are overwritten.
template <class S>
void simple_arcs_gradient(const Reference&, long blank, View<const S, 3> darcs, View<const std::int32_t, 2> labels,
                          const long* label_lengths, View<const S, 3> am, View<const S, 3> lm, View<S, 3> by_am,
                          View<S, 3> by_lm, Sink<S, 3> dam, Sink<S, 3> dlm) {
  const long time = am.shape[1], nodes = lm.shape[1];
  for (long i = 0; i < am.size(); ++i) by_am.data[i] *= am.data[i];
  for (long i = 0; i < lm.size(); ++i) by_lm.data[i] *= lm.data[i];
  for (long n = 0; n < am.shape[0]; ++n)
    for (long t = 0; t < time; ++t)
      for (long s = 0; s < nodes; ++s) {
        const S on = darcs(n, t, nodes - 1 + s);
        by_am(n, t, blank) += on, by_lm(n, s, blank) += on;
        if (s >= std::min(nodes - 1, label_lengths[n])) continue;
        by_am(n, t, labels(n, s)) += darcs(n, t, s), by_lm(n, s, labels(n, s)) += darcs(n, t, s);
      }
  for (long i = 0; dam && i < am.size(); ++i) dam.put(i, by_am.data[i]);
  for (long i = 0; dlm && i < lm.size(); ++i) dlm.put(i, by_lm.data[i]);
}

void exp_below_peak(const Cuda& cuda, View<const float, 2> x, View<float, 2> y, float* peaks);
void simple_arcs(const Cuda& cuda, long blank, View<const float, 3> am, View<const float, 3> lm,
                 View<const float, 2> am_peaks, View<const float, 2> lm_peaks, View<const std::int32_t, 2> labels,
                 const long* label_lengths, View<float, 3> sums, View<float, 3> arcs);
void simple_arc_slopes(const Cuda& cuda, View<const float, 3> darcs, const long* label_lengths,
                       View<const float, 3> sums, View<float, 3> slopes);
void simple_arcs_gradient(const Cuda& cuda, long blank, View<const float, 3> darcs, View<const std::int32_t, 2> labels,
                          const long* label_lengths, View<const float, 3> am, View<const float, 3> lm,
                          View<float, 3> by_am, View<float, 3> by_lm, Sink<float, 3> dam, Sink<float, 3> dlm);

/// What the two passes below compute of `batch` utterances at a time: the exponentials of both sides and their largest
/// logarithms, and on the way back the gradients of exponentials and of their sums.
template <class S>
struct SimpleArcsScratch {
  View<S, 3> am, lm, by_am, by_lm, slopes;
  View<S, 2> am_peaks, lm_peaks;

  static long size(long batch, long time, long nodes, long classes) {
    return batch * (2 * (time + nodes) * classes + time + nodes + time * nodes);
  }
  SimpleArcsScratch(S* data, long batch, long time, long nodes, long classes) {
    const auto take = [&](auto& part, const auto& shape) {
      part = {data, shape};
      data += part.size();
    };
    const Shape<3> frames{batch, time, classes}, words{batch, nodes, classes};
    take(am, frames), take(lm, words), take(by_am, frames), take(by_lm, words);
    take(slopes, Shape<3>{batch, time, nodes});
    take(am_peaks, Shape<2>{batch, time}), take(lm_peaks, Shape<2>{batch, nodes});
  }
  template <class B>
  void exponentials(const B& backend, View<const S, 3> of_am, View<const S, 3> of_lm) const {
    exp_below_peak(backend, as_rows(of_am), as_rows(am), am_peaks.data);
    exp_below_peak(backend, as_rows(of_lm), as_rows(lm), lm_peaks.data);
  }
};

/// Entries [first, first + count) of the outermost axis of a view or sink.
template <class V>
V entries_of(V all, long first, long count) {
  if (all.data) all.data += first * all.stride[0];
  all.shape[0] = count;
  return all;
}

/// The arcs of `simple_arcs`, and the sums for the way back, of `together` utterances at a time.
template <class B, class S>
void simple_arcs_forward(const B& backend, long blank, View<const S, 3> am, View<const S, 3> lm,
                         View<const std::int32_t, 2> labels, const long* label_lengths, long together, S* scratch,
                         View<S, 3> sums, View<S, 3> arcs) {
  const long batch = am.shape[0], time = am.shape[1], nodes = lm.shape[1], classes = am.shape[2];
  for (long first = 0; first < batch; first += together) {
    const auto part = [&](auto all) { return entries_of(all, first, std::min(together, batch - first)); };
    const View<S, 3> of = part(sums);
    const SimpleArcsScratch<S> e(scratch, of.shape[0], time, nodes, classes);
    e.exponentials(backend, part(am), part(lm));
    gemm(backend, Gemm<S>{.m = time,
                          .n = nodes,
                          .k = classes,
                          .a = e.am.data,
                          .a_row = classes,
                          .b = e.lm.data,
                          .b_row = 1,
                          .b_col = classes,
                          .c = of.data,
                          .c_row = nodes,
                          .batch = of.shape[0],
                          .a_batch = time * classes,
                          .b_batch = nodes * classes,
                          .c_batch = time * nodes});
    simple_arcs(backend, blank, part(am), part(lm), View<const S, 2>(e.am_peaks), View<const S, 2>(e.lm_peaks),
                part(labels), label_lengths + first, of, part(arcs));
  }
}
/// Its gradients.
template <class B, class S>
void simple_arcs_backward(const B& backend, long blank, View<const S, 3> darcs, View<const S, 3> am,
                          View<const S, 3> lm, View<const std::int32_t, 2> labels, const long* label_lengths,
                          View<const S, 3> sums, long together, S* scratch, Sink<S, 3> dam, Sink<S, 3> dlm) {
  const long batch = am.shape[0], time = am.shape[1], nodes = lm.shape[1], classes = am.shape[2];
  for (long first = 0; first < batch; first += together) {
    const auto part = [&](auto all) { return entries_of(all, first, std::min(together, batch - first)); };
    const View<const S, 3> of = part(sums);
    const SimpleArcsScratch<S> e(scratch, of.shape[0], time, nodes, classes);
    e.exponentials(backend, part(am), part(lm));
    simple_arc_slopes(backend, part(darcs), label_lengths + first, of, e.slopes);
    gemm(backend, Gemm<S>{.m = time,
                          .n = classes,
                          .k = nodes,
                          .a = e.slopes.data,
                          .a_row = nodes,
                          .b = e.lm.data,
                          .b_row = classes,
                          .c = e.by_am.data,
                          .c_row = classes,
                          .batch = of.shape[0],
                          .a_batch = time * nodes,
                          .b_batch = nodes * classes,
                          .c_batch = time * classes});
    gemm(backend, Gemm<S>{.m = nodes,
                          .n = classes,
                          .k = time,
                          .a = e.slopes.data,
                          .a_row = 1,
                          .a_col = nodes,
                          .b = e.am.data,
                          .b_row = classes,
                          .c = e.by_lm.data,
                          .c_row = classes,
                          .batch = of.shape[0],
                          .a_batch = time * nodes,
                          .b_batch = time * classes,
                          .c_batch = nodes * classes});
    simple_arcs_gradient(backend, blank, part(darcs), part(labels), label_lengths + first, View<const S, 3>(e.am),
                         View<const S, 3>(e.lm), e.by_am, e.by_lm, part(dam), part(dlm));
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
  // The host takes one utterance at a time, whose exponentials stay in a cache; a GPU takes all, to be busy.
  const long together = std::is_same_v<typename B::Memory, HostMemory> ? 1 : batch;
  const auto scratch = [=](Context<B>& c) {
    using Scratch = kernel::SimpleArcsScratch<typename B::Scalar>;
    return c.empty(Shape<1>{Scratch::size(together, time, nodes, classes)});
  };
  const Tensor<B, 3> sums = ctx.empty(Shape<3>{batch, time, nodes});
  auto arcs = ctx.empty(Shape<3>{batch, time, 2 * nodes - 1});
  kernel::simple_arcs_forward(ctx.backend(), blank, am.in(), lm.in(), transcripts.labels.in(),
                              transcripts.lengths.data(), together, scratch(ctx).data(), sums.out(), arcs.out());
  const Var<B, 3> both = record(
      std::move(arcs),
      [=](Context<B>& c, const Tensor<B, 3>& darcs) {
        const auto dam = c.sink(am), dlm = c.sink(lm);
        kernel::simple_arcs_backward(c.backend(), blank, darcs.in(), am.in(), lm.in(), transcripts.labels.in(),
                                     transcripts.lengths.data(), sums.in(), together, scratch(c).data(), dam, dlm);
      },
      am, lm);
  return {slice(both, 2, 0, nodes - 1), slice(both, 2, nodes - 1, 2 * nodes - 1)};
}

namespace detail {

/// The first nodes of the windows of one utterance's `time` frames, of which `frames` are real; taken(t, s) says how
/// much the arcs of a node are taken.
template <class Taken>
void prune_utterance(long time, long frames, long labels, long width, long step, const Taken& taken,
                     std::int32_t* first) {
  const long last = std::max(0L, labels + 1 - width);
  std::vector<long> at(static_cast<size_t>(time), last);
  const auto node = [&](long t) -> long& { return at[static_cast<size_t>(t)]; };
  for (long t = 0; t + 1 < frames; ++t) {
    double most = -1;
    for (long s = 0; s <= last; ++s) {
      double sum = 0;
      for (long r = s; r < std::min(s + width, labels + 1); ++r) sum += taken(t, r);
      if (sum > most) most = sum, node(t) = s;
    }
  }
  for (long t = frames - 1; t-- > 0;) node(t) = std::min(node(t), node(t + 1));
  for (long t = frames - 1; t-- > 0;) node(t) = std::max(node(t), node(t + 1) - step);
  for (long t = 0; t < frames; ++t) node(t) = std::min(node(t), step * t);
  std::copy(at.begin(), at.end(), first);
}

}  // namespace detail

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
  NodeWindows<B> out{ctx.template empty_of<std::int32_t, 2>({shape[0], shape[1]}), width};
  const auto read = [&](const Tensor<B, 3>& t, const auto& f) {
    detail::read_on_host(ctx, t.contiguous() ? t : ctx.clone(t), f);
  };
  read(occupancies.symbols, [&](const auto* symbols) {
    read(occupancies.blanks, [&](const auto* blanks) {
      detail::fill_from_host(ctx, out.first, [&](std::int32_t* to) {
        for (long n = 0; n < shape[0]; ++n) {
          const long frames = lengths ? lengths.data()[n] : shape[1], labels = transcripts.lengths.data()[n];
          const auto taken = [&](long t, long s) {
            const long row = n * shape[1] + t;
            return static_cast<double>(blanks[row * shape[2] + s]) +
                   (s < labels ? static_cast<double>(symbols[row * (shape[2] - 1) + s]) : 0.0);
          };
          detail::prune_utterance(shape[1], frames, labels, width, step, taken, to + n * shape[1]);
        }
      });
    });
  });
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
