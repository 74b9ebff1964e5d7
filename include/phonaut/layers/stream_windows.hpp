#pragma once
// Overlapping windows out of a stream that arrives in pieces of any length.
#include "phonaut/layers/streams.hpp"

namespace phonaut {

/// For each stream, the frames that still wait for their window to fill. Windows begin `hop` frames apart.
template <class B>
struct StreamWindows {
  State<B, 3> frames;              ///< (N, window, C)
  State<Reference, 1, long> held;  ///< (N) how many of them are there
  long hop = 1;

  StreamWindows(long batch, long window, long hop_, long channels)
      : frames(zero_state<B>(Shape<3>{batch, window, channels})),
        held(zero_state<Reference, long>(Shape<1>{batch})),
        hop(hop_) {}

  long window() const { return frames.shape()[1]; }
  long held_of(long n) const { return held.tensor().data()[n]; }

  /// Puts frames from … of stream n of `piece` into its window, as many as there are and fit. Returns how many.
  long fill(long n, const Sequence<B>& piece, long from) {
    long& count = held.tensor().data()[n];
    const long taken = std::min(window() - count, piece.length(n) - from);
    if (taken > 0)
      copy(piece.context(), rows(piece.frames.in(), n, from, taken), rows(frames.tensor().out(), n, count, taken));
    count += taken;
    return taken;
  }
  /// Moves on to the next window of stream n.
  void advance(Context<B>& ctx, long n) {
    long& count = held.tensor().data()[n];
    const long kept = std::max(0L, count - hop);
    if (kept > 0) {  // through other memory, for the two places may overlap
      const auto others = ctx.empty(Shape<2>{kept, frames.shape()[2]});
      copy(ctx, rows(frames.in(), n, hop, kept), others.out());
      copy(ctx, others.in(), rows(frames.tensor().out(), n, 0, kept));
    }
    count = kept;
  }
  static void visit(auto& self, auto&& f) {
    f("frames", self.frames);
    f("held", self.held);
  }

 private:
  using S = typename B::Scalar;
  template <class T>
  static View<T, 2> rows(const View<T, 3>& x, long n, long first, long count) {
    View<T, 2> rows = x[n];
    rows.data += first * rows.stride[0];
    rows.shape[0] = count;
    return rows;
  }
  static void copy(Context<B>& ctx, View<const S, 2> from, View<S, 2> to) {
    kernel::copy_block(ctx.backend(), from, to, false);
  }
};

}  // namespace phonaut
