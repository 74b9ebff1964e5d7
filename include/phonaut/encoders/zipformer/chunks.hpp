#pragma once
#include "phonaut/core/error.hpp"

namespace phonaut {

/// How far a causal encoder may look: a frame sees its own chunk and the chunks that lie within `left` frames before
/// it. Both count frames of the layer's input. The default is no chunks: everything sees everything.
struct Chunking {
  long frames = -1;  ///< per chunk; negative: no chunks
  long left = -1;    ///< frames to the left; negative: all
};

namespace zipformer {

/// The same at the rate of one stack: chunks, and how many of them to the left.
struct Chunks {
  long frames = -1;
  long left_chunks = -1;

  Chunks() = default;
  /// Throws ConfigError for a chunk of no frames.
  explicit Chunks(const Chunking& c) : frames(c.frames < 0 ? -1 : c.frames) {
    if (c.frames == 0) throw ConfigError("zipformer: a chunk of 0 frames is none; negative means no chunks");
    if (c.frames > 0 && c.left >= 0) left_chunks = c.left < c.frames ? 1 : c.left / c.frames;
  }
  /// At a rate that is `factor` times lower. Throws ConfigError unless the chunk divides.
  Chunks downsampled(long factor) const {
    if (frames > 0 && frames % factor != 0)
      throw ConfigError(
          concat("zipformer: a chunk of ", frames, " frames does not divide by the downsampling factor ", factor));
    Chunks slower = *this;
    if (frames > 0) slower.frames /= factor;
    return slower;
  }
};

}  // namespace zipformer
}  // namespace phonaut
