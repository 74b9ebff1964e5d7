#pragma once
// The lattice of a transducer: all ways to spread labels over frames, where a step either emits the next label or goes
// on to the next frame. A. Graves, "Sequence Transduction with Recurrent Neural Networks", 2012.
#include <utility>

#include "phonaut/losses/ctc.hpp"
#include "phonaut/ops/arithmetic.hpp"
#include "phonaut/ops/log_add.hpp"

namespace phonaut {

/// Where an arc of the lattice that emits a label leads (k2's names).
enum class TransducerTopology {
  regular,     ///< to the next label in the same frame: any number of labels in a frame
  modified,    ///< to the next label in the next frame: one label in a frame at most
  constrained  ///< the same, and it pays for the blank behind the label too
};

/// Log-probabilities of the arcs of a lattice.
template <class B>
struct LatticeArcs {
  Var<B, 3> symbols;  ///< (N, T, U)
  Var<B, 3> blanks;   ///< (N, T, U + 1)
};

namespace kernel {

/// Node (t, s) of an utterance: s labels are out when frame t is looked at. symbols (N, T, U) and blanks (N, T, U + 1)
/// are the logarithms of the arcs to (t, s + 1) and (t + 1, s):
///   α(0, 0) = 0,   α(t, s) = log(e^(α(t, s-1) + symbol(t, s-1)) + e^(α(t-1, s) + blank(t-1, s))),
///   log p = α(T-1, U) + blank(T-1, U),   loss = -log p.
template <class S>
void lattice_forward(const Reference&, View<const S, 3> symbols, View<const S, 3> blanks, const long* lengths,
                     const long* label_lengths, View<Wide<S>, 3> alpha, Wide<S>* log_likelihood, S* loss) {
  using detail::log_add;
  using W = Wide<S>;
  for (long n = 0; n < blanks.shape[0]; ++n) {
    const long time = lengths ? lengths[n] : blanks.shape[1], labels = label_lengths[n];
    for (long t = 0; t < time; ++t)
      for (long s = 0; s <= labels; ++s) {
        W reached = t + s == 0 ? W(0) : detail::log_zero<W>();
        if (s > 0) reached = log_add(reached, alpha(n, t, s - 1) + W(symbols(n, t, s - 1)));
        if (t > 0) reached = log_add(reached, alpha(n, t - 1, s) + W(blanks(n, t - 1, s)));
        alpha(n, t, s) = reached;
      }
    // Nothing is said in no time.
    log_likelihood[n] = time > 0 ? alpha(n, time - 1, labels) + W(blanks(n, time - 1, labels)) : W(0);
    loss[n] = S(-log_likelihood[n]);
  }
}
/// β(t, s) = log(e^(symbol(t, s) + β(t, s+1)) + e^(blank(t, s) + β(t+1, s))) is what follows a node, 0 behind the last
/// blank. A path takes an arc with probability e^(α(from) + arc + β(to) - log p), the arc's occupancy; d loss / d arc
/// is its negative. Writes occupancy · gain[n], or occupancies where `gain` is null; 0 for arcs that do not exist. 0
/// too where no path is left at all. `beta` (N, 2 (U + 1)) is scratch.
template <class S>
void lattice_backward(const Reference&, const S* gain, View<const S, 3> symbols, View<const S, 3> blanks,
                      const long* lengths, const long* label_lengths, View<const Wide<S>, 3> alpha,
                      const Wide<S>* log_likelihood, View<Wide<S>, 2> beta, Sink<S, 3> symbol_share,
                      Sink<S, 3> blank_share) {
  using detail::log_add;
  using math::exp;
  using W = Wide<S>;
  const W none = detail::log_zero<W>();
  const long nodes = blanks.shape[2];
  for (long n = 0; n < blanks.shape[0]; ++n) {
    const long time = lengths ? lengths[n] : blanks.shape[1], labels = label_lengths[n];
    const W factor = gain ? W(gain[n]) : W(1), total = log_likelihood[n];
    const auto row = [&](long t) { return beta.row(n) + t % 2 * nodes; };
    for (long t = blanks.shape[1]; t-- > 0;) {
      const long symbol_row = (n * blanks.shape[1] + t) * (nodes - 1), blank_row = (n * blanks.shape[1] + t) * nodes;
      for (long s = nodes; s-- > 0;) {
        const bool exists = t < time && s <= labels;
        W symbol = W(0), blank = W(0);
        if (exists) {
          const W by_symbol = s < labels ? W(symbols(n, t, s)) + row(t)[s + 1] : none;
          const W on = t + 1 < time ? row(t + 1)[s] : s == labels ? W(0) : none;
          const W by_blank = W(blanks(n, t, s)) + on;
          row(t)[s] = log_add(by_symbol, by_blank);
          symbol = by_symbol == none || total == none ? W(0) : factor * exp(alpha(n, t, s) + by_symbol - total);
          blank = by_blank == none || total == none ? W(0) : factor * exp(alpha(n, t, s) + by_blank - total);
        }
        if (symbol_share && s + 1 < nodes) symbol_share.put(symbol_row + s, S(symbol));
        if (blank_share) blank_share.put(blank_row + s, S(blank));
      }
    }
  }
}

void lattice_forward(const Cpu& cpu, View<const float, 3> symbols, View<const float, 3> blanks, const long* lengths,
                     const long* label_lengths, View<double, 3> alpha, double* log_likelihood, float* loss);
void lattice_backward(const Cpu& cpu, const float* gain, View<const float, 3> symbols, View<const float, 3> blanks,
                      const long* lengths, const long* label_lengths, View<const double, 3> alpha,
                      const double* log_likelihood, View<double, 2> beta, Sink<float, 3> symbol_share,
                      Sink<float, 3> blank_share);
void lattice_forward(const Cuda& cuda, View<const float, 3> symbols, View<const float, 3> blanks, const long* lengths,
                     const long* label_lengths, View<double, 3> alpha, double* log_likelihood, float* loss);
void lattice_backward(const Cuda& cuda, const float* gain, View<const float, 3> symbols, View<const float, 3> blanks,
                      const long* lengths, const long* label_lengths, View<const double, 3> alpha,
                      const double* log_likelihood, View<double, 2> beta, Sink<float, 3> symbol_share,
                      Sink<float, 3> blank_share);

}  // namespace kernel

/// How probable it is that a path takes an arc of the lattice. Blanks of an utterance add up to its frames, symbols to
/// its labels.
template <class B>
struct Occupancies {
  Tensor<B, 3> symbols;  ///< (N, T, U)
  Tensor<B, 3> blanks;   ///< (N, T, U + 1)
};

namespace detail {

/// The forward pass over a lattice, and what its backward pass needs.
template <class B>
struct Lattice {
  using S = typename B::Scalar;
  using W = kernel::Wide<S>;
  Lengths lengths, labels;
  Tensor<B, 3, W> alpha;
  Tensor<B, 1, W> log_likelihood;
  Tensor<B, 1> loss;

  Lattice(Context<B>& ctx, View<const S, 3> symbols, View<const S, 3> blanks, const Lengths& frames,
          const Lengths& label_lengths)
      : lengths(frames),
        labels(label_lengths),
        alpha(ctx.template empty_of<W, 3>(blanks.shape)),
        log_likelihood(ctx.template empty_of<W, 1>({blanks.shape[0]})),
        loss(ctx.empty(Shape<1>{blanks.shape[0]})) {
    kernel::lattice_forward(ctx.backend(), symbols, blanks, frame_counts(), labels.data(), alpha.out(),
                            log_likelihood.data(), loss.data());
  }
  /// Occupancies, times `gain` of the utterance where that is not null.
  void shares(Context<B>& ctx, const S* gain, View<const S, 3> symbols, View<const S, 3> blanks,
              const Sink<S, 3>& symbol_share, const Sink<S, 3>& blank_share) const {
    const auto beta = ctx.template empty_of<W, 2>({blanks.shape[0], 2 * blanks.shape[2]});
    kernel::lattice_backward(ctx.backend(), gain, symbols, blanks, frame_counts(), labels.data(), alpha.in(),
                             static_cast<const W*>(log_likelihood.data()), beta.out(), symbol_share, blank_share);
  }
  Occupancies<B> occupancies(Context<B>& ctx, View<const S, 3> symbols, View<const S, 3> blanks) const {
    Occupancies<B> out{ctx.empty(symbols.shape), ctx.empty(blanks.shape)};
    shares(ctx, nullptr, symbols, blanks, Sink<S, 3>(out.symbols.data(), symbols.shape, false),
           Sink<S, 3>(out.blanks.data(), blanks.shape, false));
    return out;
  }

 private:
  const long* frame_counts() const { return lengths ? lengths.data() : nullptr; }
};

/// Throws ShapeError unless a lattice of (N, T, nodes) has a place for every label, and frames to say them in.
template <class B>
void check_lattice(const char* op, const Shape<3>& shape, const Lengths& lengths, const Transcripts<B>& transcripts) {
  check_lengths(op, shape, lengths);
  if (transcripts.batch() != shape[0])
    throw ShapeError(
        concat(op, ": there are ", transcripts.batch(), " transcripts for a lattice of shape ", text(shape)));
  for (long n = 0; n < shape[0]; ++n) {
    const long labels = transcripts.lengths.data()[n], frames = lengths ? lengths.data()[n] : shape[1];
    if (labels >= shape[2])
      throw ShapeError(concat(op, ": utterance ", n, " has ", labels, " labels, which need ", labels + 1,
                              " nodes, but the lattice has shape ", text(shape)));
    if (labels > 0 && frames == 0)
      throw ShapeError(concat(op, ": utterance ", n, " has ", labels, " labels, but no frame"));
  }
}
template <class B>
void check_arcs(const char* op, const Var<B, 3>& symbols, const Var<B, 3>& blanks) {
  Shape<3> fits = blanks.shape();
  --fits[2];
  if (symbols.shape() != fits)
    throw ShapeError(concat(op, ": symbols are ", text(symbols.shape()), " but blanks are ", text(blanks.shape()),
                            "; there must be one node more than symbols"));
}

}  // namespace detail

/// -log p of each utterance's labels in nats -> (N), from the log-probabilities of the arcs: symbols (N, T, U), where
/// entry (t, s) emits label s at frame t, and blanks (N, T, U + 1), where it goes on to frame t + 1 with s labels out.
/// Only frames below `lengths` (empty: all) and labels of `transcripts` count. The loss of an utterance without a frame
/// and without labels is 0; where -inf leaves no path it is infinite, and its gradient 0. Time and memory are
/// O(T · U). Throws ShapeError for arcs that do not fit together or to the transcripts.
template <class B>
Var<B, 1> transducer(const Var<B, 3>& any_symbols, const Var<B, 3>& any_blanks, const Transcripts<B>& transcripts,
                     const Lengths& lengths = {}) {
  using S = typename B::Scalar;
  detail::check_arcs("transducer", any_symbols, any_blanks);
  detail::check_lattice("transducer", any_blanks.shape(), lengths, transcripts);
  const Var<B, 3> symbols = packed(any_symbols), blanks = packed(any_blanks);
  const detail::Lattice<B> lattice(symbols.context(), symbols.in(), blanks.in(), lengths, transcripts.lengths);
  return record(
      lattice.loss,
      [=](Context<B>& c, const Tensor<B, 1>& dloss) {
        const Sink<S, 3> dsymbols = c.sink(symbols), dblanks = c.sink(blanks);
        if (!dsymbols && !dblanks) return;
        const auto gain = c.empty(dloss.shape());
        kernel::scale(c.backend(), S(-1), dloss.in(), gain.data(), false);
        lattice.shares(c, gain.data(), symbols.in(), blanks.in(), dsymbols, dblanks);
      },
      symbols, blanks);
}

/// The occupancies of the arcs, as numbers without gradient. Throws as `transducer`.
template <class B>
Occupancies<B> transducer_occupancies(const Var<B, 3>& any_symbols, const Var<B, 3>& any_blanks,
                                      const Transcripts<B>& transcripts, const Lengths& lengths = {}) {
  detail::check_arcs("transducer_occupancies", any_symbols, any_blanks);
  detail::check_lattice("transducer_occupancies", any_blanks.shape(), lengths, transcripts);
  const Var<B, 3> symbols = packed(any_symbols), blanks = packed(any_blanks);
  auto& ctx = symbols.context();
  const detail::Lattice<B> lattice(ctx, symbols.in(), blanks.in(), lengths, transcripts.lengths);
  return lattice.occupancies(ctx, symbols.in(), blanks.in());
}

}  // namespace phonaut
