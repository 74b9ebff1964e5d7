#pragma once
// Convolutions over sound that arrives in chunks: each remembers as many frames as it looks back on.
#include "phonaut/layers/conv1d.hpp"
#include "phonaut/layers/streams.hpp"

namespace phonaut {

/// Frames before a chunk that the convolution needs for its first output. Its padding must be `by_stride` (or `causal`
/// with a stride of 1).
template <class B>
long past_frames(const Conv1d<B>& conv) {
  return conv.grid.span() - conv.grid.stride;
}
/// The same of a transposed convolution: frames whose outputs reach into those of the chunk.
template <class B>
long past_frames(const ConvTranspose1d<B>& conv) {
  return (conv.grid.span() - 1) / conv.grid.stride;
}

/// What the convolutions of a model remember of each stream, in the order in which a chunk meets them; one that looks
/// at no past has no place in it.
template <class B>
struct ConvPasts {
  Streams streams;
  std::vector<State<B, 3>> pasts;  ///< (N, frames, channels in) each

  ConvPasts(const char* op, long batch) : streams(op, batch) {}
  /// Makes room for the next convolution.
  template <class Conv>
  void add(const Conv& conv, long channels) {
    if (const long frames = past_frames(conv); frames > 0)
      pasts.push_back(zero_state<B>(Shape<3>{streams.batch(), frames, channels}));
  }
  static void visit(auto& self, auto&& f) {
    f("streams", self.streams);
    f("pasts", self.pasts);
  }
};

/// Convolves whole recordings: what a model hands its convolutions to where nothing streams.
struct WholeRecordings {
  template <class B, class Conv>
  Sequence<B> operator()(const Conv& conv, const Sequence<B>& x) {
    return conv(x);
  }
};

/// Convolves the next chunk of each stream. One chunk goes through all convolutions of a model in the order in which
/// their pasts were added.
template <class B>
class NextChunk {
 public:
  explicit NextChunk(ConvPasts<B>& state) : state_(state) {}

  Sequence<B> operator()(const Conv1d<B>& conv, const Sequence<B>& x) {
    const ConvGrid grid{conv.grid.taps, conv.grid.stride, conv.grid.dilation, 0, conv.grid.stride - 1};
    return with_past(conv, x, [&](const Sequence<B>& joined) {
      return conv1d(joined, normed_weight(x.context(), conv.weight, conv.gain), conv.bias, grid, conv.groups);
    });
  }
  Sequence<B> operator()(const ConvTranspose1d<B>& conv, const Sequence<B>& x) {
    ConvGrid grid = conv.grid;
    grid.before = past_frames(conv) * grid.stride;  // outputs that the chunks before have given
    Sequence<B> y = with_past(conv, x, [&](const Sequence<B>& joined) {
      return conv_transpose1d(joined, normed_weight(x.context(), conv.weight, conv.gain), conv.bias, grid, conv.groups);
    });
    y.lengths = map_lengths(x, [&](long n) { return n * grid.stride; });
    return y;
  }

 private:
  template <class Conv, class Run>
  Sequence<B> with_past(const Conv& conv, const Sequence<B>& x, const Run& run) {
    const long frames = past_frames(conv);
    if (frames == 0) return run(x);
    State<B, 3>& state = state_.pasts.at(next_++);
    Past<B> past = past_of(x.context(), state);
    const Sequence<B> joined{past.join(x.frames), map_lengths(x, [&](long n) { return n > 0 ? frames + n : 0; }),
                             x.rate};
    Sequence<B> y = run(joined);
    remember(state, past, x.lengths, x.time());
    return y;
  }

  ConvPasts<B>& state_;
  size_t next_ = 0;
};

}  // namespace phonaut
