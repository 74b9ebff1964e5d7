#pragma once
#include "phonaut/layers/streams.hpp"

namespace phonaut {

namespace zipformer {

/// What the modules of a layer see of the frames before a chunk. Empty: there are no chunks.
template <class B>
struct LayerPast {
  Past<B> key, nonlin_attn, val1, val2, conv1, conv2;
};

/// What the layers of a stack need to know of a chunk besides its frames, at their own rate.
struct StreamStep {
  /// (N) how many of the remembered keys of each stream are older than the stream; empty: none.
  Lengths first_key;
  /// (N) length of the chunk that the edge scale of the convolutions is for; empty: all of its frames. A recording
  /// that is shorter than a chunk is a chunk of its own length.
  Lengths conv_frames;
};

}  // namespace zipformer

/// What a layer remembers of a batch of streams, under the names of the published model; all zero at the start.
template <class B>
struct ZipformerLayerState {
  State<B, 3> cached_key;                  ///< (N, left, heads·query_head)
  State<B, 3> cached_nonlin_attn;          ///< (N, left, 3·dim / 4): v · tanh(s)
  State<B, 3> cached_val1, cached_val2;    ///< (N, left, heads·value_head)
  State<B, 3> cached_conv1, cached_conv2;  ///< (N, kernel / 2, dim): what enters the depthwise convolution

  zipformer::LayerPast<B> past(Context<B>& ctx) const {
    return {past_of(ctx, cached_key),  past_of(ctx, cached_nonlin_attn), past_of(ctx, cached_val1),
            past_of(ctx, cached_val2), past_of(ctx, cached_conv1),       past_of(ctx, cached_conv2)};
  }
  /// Moves on by `chunk`, which the layer has seen.
  void remember(const zipformer::LayerPast<B>& past, const Sequence<B>& chunk) {
    const auto keep = [&](State<B, 3>& state, const Past<B>& frames) {
      phonaut::remember(state, frames, chunk.lengths, chunk.time());
    };
    keep(cached_key, past.key);
    keep(cached_nonlin_attn, past.nonlin_attn);
    keep(cached_val1, past.val1);
    keep(cached_val2, past.val2);
    keep(cached_conv1, past.conv1);
    keep(cached_conv2, past.conv2);
  }
  static void visit(auto& self, auto&& f) {
    f("cached_key", self.cached_key);
    f("cached_nonlin_attn", self.cached_nonlin_attn);
    f("cached_val1", self.cached_val1);
    f("cached_val2", self.cached_val2);
    f("cached_conv1", self.cached_conv1);
    f("cached_conv2", self.cached_conv2);
  }
};

}  // namespace phonaut
