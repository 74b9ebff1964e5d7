#pragma once
// Transducers that emit one label in a frame at most. A. Tripathi et al., "Monotonic Recurrent Neural Network
// Transducer and Decoding Strategies", 2019; the lattices are those of k2 (k2.rnnt_loss, `rnnt_type`).
#include "phonaut/losses/rnnt.hpp"

namespace phonaut {

namespace kernel {

/// Where every arc goes on to the next frame, t - s stays what it is along a symbol and grows by one along a blank. In
/// these coordinates the lattice is a regular one of T - U + 1 frames, whose last frame has no blanks but one that
/// costs nothing, from the last node. `constrained`: a symbol pays for the blank at the node behind it.
template <class S>
void shear_arcs(const Reference&, bool constrained, View<const S, 3> symbols, View<const S, 3> blanks,
                const long* lengths, const long* label_lengths, View<S, 3> sheared_symbols, View<S, 3> sheared_blanks) {
  const S none = detail::log_zero<S>();
  for (long n = 0; n < sheared_blanks.shape[0]; ++n) {
    const long labels = label_lengths[n], last = (lengths ? lengths[n] : blanks.shape[1]) - labels;
    for (long t = 0; t < sheared_blanks.shape[1]; ++t)
      for (long s = 0; s < sheared_blanks.shape[2]; ++s) {
        const bool exists = t <= last && s <= labels;
        if (s + 1 < sheared_blanks.shape[2])
          sheared_symbols(n, t, s) = !exists || s == labels ? none
                                     : constrained          ? symbols(n, t + s, s) + blanks(n, t + s, s + 1)
                                                            : symbols(n, t + s, s);
        sheared_blanks(n, t, s) = !exists || (t == last && s < labels) ? none : t == last ? S(0) : blanks(n, t + s, s);
      }
  }
}
/// The way back: what belongs to a sheared arc is put where the arc was, 0 where there was none.
template <class S>
void unshear_arcs(const Reference&, bool constrained, View<const S, 3> sheared_symbols, View<const S, 3> sheared_blanks,
                  const long* lengths, const long* label_lengths, Sink<S, 3> symbols, Sink<S, 3> blanks,
                  const Shape<3>& shape) {
  for (long n = 0; n < shape[0]; ++n) {
    const long labels = label_lengths[n], last = (lengths ? lengths[n] : shape[1]) - labels;
    const auto symbol = [&](long t, long s) {
      return t - s >= 0 && t - s <= last && s >= 0 && s < labels ? sheared_symbols(n, t - s, s) : S(0);
    };
    for (long t = 0; t < shape[1]; ++t)
      for (long s = 0; s < shape[2]; ++s) {
        const long row = n * shape[1] + t;
        if (symbols && s + 1 < shape[2]) symbols.put(row * (shape[2] - 1) + s, symbol(t, s));
        if (!blanks) continue;
        const S own = t - s >= 0 && t - s < last && s <= labels ? sheared_blanks(n, t - s, s) : S(0);
        blanks.put(row * shape[2] + s, constrained ? own + symbol(t, s - 1) : own);
      }
  }
}

void shear_arcs(const Cuda& cuda, bool constrained, View<const float, 3> symbols, View<const float, 3> blanks,
                const long* lengths, const long* label_lengths, View<float, 3> sheared_symbols,
                View<float, 3> sheared_blanks);
void unshear_arcs(const Cuda& cuda, bool constrained, View<const float, 3> sheared_symbols,
                  View<const float, 3> sheared_blanks, const long* lengths, const long* label_lengths,
                  Sink<float, 3> symbols, Sink<float, 3> blanks, const Shape<3>& shape);

}  // namespace kernel

namespace detail {

/// A lattice whose arcs all go on to the next frame as a regular one.
template <class B>
struct ShearedLattice {
  LatticeArcs<B> arcs;
  Lengths lengths;
};
/// Throws ShapeError for an utterance with fewer frames than labels.
template <class B>
ShearedLattice<B> sheared(const char* op, const LatticeArcs<B>& any, const Transcripts<B>& transcripts,
                          const Lengths& lengths, bool constrained) {
  check_arcs(op, any.symbols, any.blanks);
  check_lattice(op, any.blanks.shape(), lengths, transcripts);
  const Var<B, 3> symbols = packed(any.symbols), blanks = packed(any.blanks);
  auto& ctx = symbols.context();
  const Shape<3> shape = blanks.shape();
  const Lengths frames = ctx.empty_lengths(shape[0]);
  long longest = 0;
  for (long n = 0; n < shape[0]; ++n) {
    const long time = lengths ? lengths.data()[n] : shape[1], labels = transcripts.lengths.data()[n];
    if (labels > time)
      throw ShapeError(concat(op, ": utterance ", n, " has ", labels, " labels, but only ", time,
                              " frames; in this topology a frame emits one at most"));
    longest = std::max(longest, frames.data()[n] = time - labels + 1);
  }
  const long nodes = shape[2];
  auto both = ctx.empty(Shape<3>{shape[0], longest, 2 * nodes - 1});
  // Symbols and blanks of one tensor, so that one node of the tape gives both.
  const auto part = [=](auto view, long from, long width) {
    view.data += from;
    view.shape[2] = width;
    return view;
  };
  const auto pointer = [](const Lengths& l) { return l ? l.data() : static_cast<const long*>(nullptr); };
  kernel::shear_arcs(ctx.backend(), constrained, symbols.in(), blanks.in(), pointer(lengths),
                     transcripts.lengths.data(), part(both.out(), 0, nodes - 1), part(both.out(), nodes - 1, nodes));
  const Var<B, 3> y = record(
      std::move(both),
      [=, symbols = target(symbols), blanks = target(blanks), labels = transcripts.lengths](Context<B>& c,
                                                                                            const Tensor<B, 3>& dy) {
        const auto dsymbols = c.sink(symbols), dblanks = c.sink(blanks);
        kernel::unshear_arcs(c.backend(), constrained, part(dy.in(), 0, nodes - 1), part(dy.in(), nodes - 1, nodes),
                             pointer(lengths), labels.data(), dsymbols, dblanks, shape);
      },
      symbols, blanks);
  return {{slice(y, 2, 0, nodes - 1), slice(y, 2, nodes - 1, 2 * nodes - 1)}, frames};
}

}  // namespace detail

/// The transducer loss of a lattice with that topology -> (N). Throws as `transducer`, and ShapeError for more labels
/// than frames where a frame emits one at most.
template <class B>
Var<B, 1> transducer(const LatticeArcs<B>& arcs, const Transcripts<B>& transcripts, const Lengths& lengths,
                     TransducerTopology topology) {
  if (topology == TransducerTopology::regular) return transducer(arcs.symbols, arcs.blanks, transcripts, lengths);
  const auto lattice =
      detail::sheared("transducer", arcs, transcripts, lengths, topology == TransducerTopology::constrained);
  return transducer(lattice.arcs.symbols, lattice.arcs.blanks, transcripts, lattice.lengths);
}

/// The occupancies of the arcs, as numbers without gradient. Throws as `transducer`.
template <class B>
Occupancies<B> transducer_occupancies(const LatticeArcs<B>& arcs, const Transcripts<B>& transcripts,
                                      const Lengths& lengths, TransducerTopology topology) {
  if (topology == TransducerTopology::regular)
    return transducer_occupancies(arcs.symbols, arcs.blanks, transcripts, lengths);
  const auto lattice = detail::sheared("transducer_occupancies", arcs, transcripts, lengths,
                                       topology == TransducerTopology::constrained);
  const auto taken = transducer_occupancies(lattice.arcs.symbols, lattice.arcs.blanks, transcripts, lattice.lengths);
  auto& ctx = arcs.blanks.context();
  const Occupancies<B> out{ctx.empty(arcs.symbols.shape()), ctx.empty(arcs.blanks.shape())};
  using S = typename B::Scalar;
  kernel::unshear_arcs(ctx.backend(), false, taken.symbols.in(), taken.blanks.in(), lengths ? lengths.data() : nullptr,
                       transcripts.lengths.data(), Sink<S, 3>(out.symbols.data(), out.symbols.shape(), false),
                       Sink<S, 3>(out.blanks.data(), out.blanks.shape(), false), arcs.blanks.shape());
  return out;
}

/// Arcs of the lattice from the joiner's logits (N, T, R, V) at the R nodes of each frame that `windows` names (empty:
/// the first R); log 0 elsewhere. `rnnt` and `rnnt_pruned` are `transducer` of these, without keeping them. Throws as
/// those.
template <class B>
LatticeArcs<B> joiner_arcs(const Var<B, 4>& any, const NodeWindows<B>& windows, const Transcripts<B>& transcripts,
                           const Lengths& lengths = {}, long blank = 0) {
  using S = typename B::Scalar;
  using W = kernel::Wide<S>;
  const long batch = any.extent(0), time = any.extent(1), width = any.extent(2);
  const long nodes = windows.first ? transcripts.labels.extent(1) + 1 : width;
  if (windows.first) detail::check_windows("joiner_arcs", any, windows, nodes);
  detail::check_labels("joiner_arcs", transcripts, blank, any.extent(3));
  detail::check_lattice("joiner_arcs", Shape<3>{batch, time, nodes}, lengths, transcripts);
  const Var<B, 4> x = packed(any);
  auto& ctx = x.context();
  const auto pointer = [](const Lengths& l) { return l ? l.data() : static_cast<const long*>(nullptr); };
  const auto normaliser = ctx.template empty_of<W, 3>({batch, time, width});
  auto both = ctx.empty(Shape<3>{batch, time, 2 * nodes - 1});
  const auto part = [=](auto view, long from, long count) {
    view.data += from;
    view.shape[2] = count;
    return view;
  };
  kernel::rnnt_arcs(ctx.backend(), blank, x.in(), kernel::NodeWindow{windows.data(), time, width}, pointer(lengths),
                    transcripts.labels.in(), transcripts.lengths.data(), normaliser.out(),
                    part(both.out(), 0, nodes - 1), part(both.out(), nodes - 1, nodes));
  const Var<B, 3> y = record(
      std::move(both),
      [=](Context<B>& c, const Tensor<B, 3>& dy) {
        const auto dx = c.sink(x);
        if (!dx) return;
        // The kernel takes what is the negative of the arcs' gradients where the loss is a transducer's.
        const Tensor<B, 3> shares = c.empty(dy.shape());
        const Tensor<B, 1> once = c.full(Shape<1>{batch}, S(1));
        kernel::scale(c.backend(), S(-1), View<const S, 1>(dy.data(), {dy.size()}), shares.data(), false);
        kernel::rnnt_backward(c.backend(), blank, static_cast<const S*>(once.data()), x.in(),
                              kernel::NodeWindow{windows.data(), time, width}, pointer(lengths),
                              transcripts.labels.in(), transcripts.lengths.data(), normaliser.in(),
                              part(shares.in(), 0, nodes - 1), part(shares.in(), nodes - 1, nodes), dx);
      },
      x);
  return {slice(y, 2, 0, nodes - 1), slice(y, 2, nodes - 1, 2 * nodes - 1)};
}

/// `rnnt` in another topology. Throws as `rnnt` and `transducer`.
template <class B>
Var<B, 1> rnnt(const Var<B, 4>& logits, const Transcripts<B>& transcripts, const Lengths& lengths, long blank,
               TransducerTopology topology) {
  if (topology == TransducerTopology::regular) return rnnt(logits, transcripts, lengths, blank);
  return transducer(joiner_arcs(logits, NodeWindows<B>{}, transcripts, lengths, blank), transcripts, lengths, topology);
}
/// `rnnt_pruned` in another topology; make the windows for the same one. Throws as `rnnt_pruned` and `transducer`.
template <class B>
Var<B, 1> rnnt_pruned(const Var<B, 4>& logits, const NodeWindows<B>& windows, const Transcripts<B>& transcripts,
                      const Lengths& lengths, long blank, TransducerTopology topology) {
  if (topology == TransducerTopology::regular) return rnnt_pruned(logits, windows, transcripts, lengths, blank);
  return transducer(joiner_arcs(logits, windows, transcripts, lengths, blank), transcripts, lengths, topology);
}

}  // namespace phonaut
