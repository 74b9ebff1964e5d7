#pragma once
#include "phonaut/encoders/zipformer/zipformer.hpp"
#include "phonaut/frontends/conv2d_subsampling.hpp"

namespace phonaut {

/// Filterbank features to encoder frames: stem and Zipformer, named as in published ASR checkpoints.
template <class B>
struct ZipformerEncoder {
  struct Config {
    ZipformerConfig encoder = ZipformerConfig::medium();
    long features = 80;
    std::array<long, 3> channels{8, 32, 128};  ///< of the stem's convolutions
  };
  Conv2dSubsampling<B> encoder_embed;
  Zipformer<B> encoder;

  /// Throws ConfigError for sizes that cannot be.
  ZipformerEncoder(Context<B>& ctx, const Config& c)
      : encoder_embed(ctx, {.features = c.features,
                            .out = c.encoder.stacks.empty() ? 0 : c.encoder.stacks.front().dim,
                            .channels = c.channels,
                            .padding = c.encoder.padding}),
        encoder(ctx, c.encoder) {}

  /// (N, T, features), usually at 100 Hz -> (N, T'', width) at a quarter of the rate, with T' = (T - 7) / 2 and
  /// T'' = (T' + 1) / 2. Chunks count frames behind the stem (50 Hz). Throws ShapeError for fewer than 9 frames.
  Sequence<B> operator()(const Sequence<B>& features, const Chunking& chunking = {}) const {
    return encoder(encoder_embed(features), chunking);
  }
  static void visit(auto& self, auto&& f) {
    f("encoder_embed", self.encoder_embed);
    f("encoder", self.encoder);
  }
};

}  // namespace phonaut
