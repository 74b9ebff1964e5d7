#pragma once
// The transducer loss of a joiner's logits, over all nodes of the lattice or over a window of nodes in each frame.
// A. Graves, "Sequence Transduction with Recurrent Neural Networks", 2012; F. Kuang et al., "Pruned RNN-T for fast,
// memory-efficient ASR training", 2022.
#include <algorithm>

#include "phonaut/losses/rnnt_nodes.hpp"
#include "phonaut/losses/transducer.hpp"

namespace phonaut {

namespace kernel {

/// Arcs of the lattice from logits x (N, T, R, V) of the nodes in `window`: symbols (N, T, U) and blanks (N, T, U + 1),
/// the log-probabilities of the next label and of the blank; log 0 at nodes outside. `normaliser` (N, T, R) gets
/// log Σ exp x.
template <class S>
void rnnt_arcs(const Reference&, long blank, View<const S, 4> x, const NodeWindow& window, const long* lengths,
               View<const std::int32_t, 2> labels, const long* label_lengths, View<Wide<S>, 3> normaliser,
               View<S, 3> symbols, View<S, 3> blanks) {
  using math::exp;
  using math::log;
  using W = Wide<S>;
  const S none = detail::log_zero<S>();
  for (long n = 0; n < x.shape[0]; ++n)
    for (long t = 0; t < x.shape[1]; ++t) {
      for (long s = 0; s + 1 < blanks.shape[2]; ++s) symbols(n, t, s) = none;
      for (long s = 0; s < blanks.shape[2]; ++s) blanks(n, t, s) = none;
      if (t >= (lengths ? lengths[n] : x.shape[1])) continue;
      const long first = window.first(n, t);
      for (long r = 0; r < window.count(first, label_lengths[n]); ++r) {
        const S* from = x.data + n * x.stride[0] + t * x.stride[1] + r * x.stride[2];
        W largest = W(from[0]), total = 0;
        for (long v = 1; v < x.shape[3]; ++v)
          if (largest < W(from[v])) largest = W(from[v]);
        for (long v = 0; v < x.shape[3]; ++v) total += exp(W(from[v]) - largest);
        const W norm = normaliser(n, t, r) = largest + log(total);
        blanks(n, t, first + r) = S(W(from[blank]) - norm);
        if (first + r < label_lengths[n]) symbols(n, t, first + r) = S(W(from[labels(n, first + r)]) - norm);
      }
    }
}
/// dx = (softmax(x) (symbol + blank) - [v = label] symbol - [v = blank] blank) dloss, with the occupancies of the
/// node's arcs; 0 where there is no node.
template <class S>
void rnnt_backward(const Reference&, long blank, const S* dloss, View<const S, 4> x, const NodeWindow& window,
                   const long* lengths, View<const std::int32_t, 2> labels, const long* label_lengths,
                   View<const Wide<S>, 3> normaliser, View<const S, 3> symbols, View<const S, 3> blanks,
                   Sink<S, 4> dx) {
  using math::exp;
  using W = Wide<S>;
  for (long n = 0; n < x.shape[0]; ++n)
    for (long t = 0; t < x.shape[1]; ++t) {
      const long first = window.first(n, t);
      const long nodes = t < (lengths ? lengths[n] : x.shape[1]) ? window.count(first, label_lengths[n]) : 0;
      for (long r = 0; r < x.shape[2]; ++r) {
        const long row = ((n * x.shape[1] + t) * x.shape[2] + r) * x.shape[3];
        if (r >= nodes) {
          for (long v = 0; v < x.shape[3]; ++v) dx.put(row + v, S(0));
          continue;
        }
        const S* from = x.data + n * x.stride[0] + t * x.stride[1] + r * x.stride[2];
        const bool labelled = first + r < label_lengths[n];
        const W by_symbol = labelled ? W(dloss[n]) * W(symbols(n, t, first + r)) : W(0);
        const W by_blank = W(dloss[n]) * W(blanks(n, t, first + r));
        for (long v = 0; v < x.shape[3]; ++v)
          dx.put(row + v, S((by_symbol + by_blank) * exp(W(from[v]) - normaliser(n, t, r))));
        dx.data[row + blank] -= S(by_blank);
        if (labelled) dx.data[row + labels(n, first + r)] -= S(by_symbol);
      }
    }
}

void rnnt_arcs(const Cpu& cpu, long blank, View<const float, 4> x, const NodeWindow& window, const long* lengths,
               View<const std::int32_t, 2> labels, const long* label_lengths, View<double, 3> normaliser,
               View<float, 3> symbols, View<float, 3> blanks);
void rnnt_backward(const Cpu& cpu, long blank, const float* dloss, View<const float, 4> x, const NodeWindow& window,
                   const long* lengths, View<const std::int32_t, 2> labels, const long* label_lengths,
                   View<const double, 3> normaliser, View<const float, 3> symbols, View<const float, 3> blanks,
                   Sink<float, 4> dx);
void rnnt_arcs(const Cuda& cuda, long blank, View<const float, 4> x, const NodeWindow& window, const long* lengths,
               View<const std::int32_t, 2> labels, const long* label_lengths, View<double, 3> normaliser,
               View<float, 3> symbols, View<float, 3> blanks);
void rnnt_backward(const Cuda& cuda, long blank, const float* dloss, View<const float, 4> x, const NodeWindow& window,
                   const long* lengths, View<const std::int32_t, 2> labels, const long* label_lengths,
                   View<const double, 3> normaliser, View<const float, 3> symbols, View<const float, 3> blanks,
                   Sink<float, 4> dx);

}  // namespace kernel

/// The first of the R nodes of each frame that a joiner looks at (N, T), each in 0 … U + 1 - R.
template <class B>
struct NodeWindows {
  Tensor<B, 2, std::int32_t> first;
  long width = 0;  ///< R

  const std::int32_t* data() const { return first.size() > 0 ? first.data() : nullptr; }
};

namespace detail {

/// Throws ShapeError where logits (N, T, R, V) and windows disagree.
template <class B>
void check_windows(const char* op, const Var<B, 4>& logits, const NodeWindows<B>& windows, long nodes) {
  if (windows.first.shape() != Shape<2>{logits.extent(0), logits.extent(1)} || windows.width != logits.extent(2))
    throw ShapeError(concat(op, ": logits are ", text(logits.shape()), ", but the windows are ",
                            text(windows.first.shape()), " of ", windows.width, " nodes"));
  if constexpr (std::is_same_v<typename B::Memory, HostMemory>)
    for (long i = 0; i < windows.first.size(); ++i)
      if (const long first = windows.data()[i]; first < 0 || first + windows.width > nodes)
        throw ShapeError(concat(op, ": the window of frame ", i % logits.extent(1), " of utterance ",
                                i / logits.extent(1), " begins at node ", first, ", but ", windows.width, " of ", nodes,
                                " nodes need 0 … ", nodes - windows.width));
}

/// The loss of logits (N, T, R, V) at the nodes of `windows`, in a lattice of `nodes` nodes per frame.
template <class B>
Var<B, 1> rnnt_in(const char* op, const Var<B, 4>& any, const NodeWindows<B>& windows, long nodes,
                  const Transcripts<B>& transcripts, const Lengths& lengths, long blank) {
  using S = typename B::Scalar;
  using W = kernel::Wide<S>;
  check_labels(op, transcripts, blank, any.extent(3));
  check_lattice(op, Shape<3>{any.extent(0), any.extent(1), nodes}, lengths, transcripts);
  const Var<B, 4> x = packed(any);
  auto& ctx = x.context();
  const kernel::NodeWindow window{windows.data(), x.extent(1), x.extent(2)};
  const long batch = x.extent(0), time = x.extent(1);
  const auto normaliser = ctx.template empty_of<W, 3>({batch, time, x.extent(2)});
  const Tensor<B, 3> symbols = ctx.empty(Shape<3>{batch, time, nodes - 1}),
                     blanks = ctx.empty(Shape<3>{batch, time, nodes});
  const long* frames = lengths ? lengths.data() : nullptr;
  kernel::rnnt_arcs(ctx.backend(), blank, x.in(), window, frames, transcripts.labels.in(), transcripts.lengths.data(),
                    normaliser.out(), symbols.out(), blanks.out());
  const Lattice<B> lattice(ctx, symbols.in(), blanks.in(), lengths, transcripts.lengths);
  return record(
      lattice.loss,
      [=](Context<B>& c, const Tensor<B, 1>& dloss) {
        auto dx = c.sink(x);
        if (!dx) return;
        const Occupancies<B> shares = lattice.occupancies(c, symbols.in(), blanks.in());
        const kernel::NodeWindow seen{windows.data(), time, x.extent(2)};
        kernel::rnnt_backward(c.backend(), blank, static_cast<const S*>(dloss.data()), x.in(), seen,
                              lengths ? lengths.data() : nullptr, transcripts.labels.in(), transcripts.lengths.data(),
                              normaliser.in(), shares.symbols.in(), shares.blanks.in(), dx);
      },
      x);
}

}  // namespace detail

/// -log p(labels) in nats for each utterance -> (N), from the joiner's logits (N, T, U + 1, V) at every pair of frame
/// and number of labels that are out. Frames behind `lengths` (empty: all) and nodes behind an utterance's labels do
/// not count. Besides the logits and their gradient, memory is O(T · U). Throws ShapeError for logits that do not fit
/// the transcripts, labels without a frame and labels that are no class or the blank; ConfigError for a blank that is
/// no class.
template <class B>
Var<B, 1> rnnt(const Var<B, 4>& logits, const Transcripts<B>& transcripts, const Lengths& lengths = {},
               long blank = 0) {
  return detail::rnnt_in("rnnt", logits, NodeWindows<B>{{}, logits.extent(2)}, logits.extent(2), transcripts, lengths,
                         blank);
}

/// The same from logits (N, T, R, V) at the R nodes of each frame that `windows` names, in a lattice of `nodes` nodes
/// (the longest transcript and one); paths outside of the windows are impossible. Throws as `rnnt`, and ShapeError
/// where windows and logits disagree.
template <class B>
Var<B, 1> rnnt_pruned(const Var<B, 4>& logits, const NodeWindows<B>& windows, const Transcripts<B>& transcripts,
                      const Lengths& lengths = {}, long blank = 0) {
  const long nodes = transcripts.labels.extent(1) + 1;
  detail::check_windows("rnnt_pruned", logits, windows, nodes);
  return detail::rnnt_in("rnnt_pruned", logits, windows, nodes, transcripts, lengths, blank);
}

}  // namespace phonaut
