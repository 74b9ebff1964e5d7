#pragma once
// Codes of several codebooks for models that write one token after the other: each book some frames later than the one
// before. J. Copet et al., "Simple and Controllable Music Generation" (MusicGen), 2023; A. Défossez et al., "Moshi",
// 2024.
#include <span>
#include <vector>

namespace phonaut {

/// Codes (T, books), row by row. Written frame by frame, that is the flattened pattern too.
struct DelayedCodes {
  long frames = 0;
  std::vector<long> codes;
};

enum class DelayEnd {
  grow,  ///< as many frames more as the latest book needs (MusicGen, whose book k is k frames late)
  cut    ///< T frames: what would come later is dropped (Moshi)
};

/// Book k of codes (T, books) moved back by delays[k] frames; `pad` where it has none. Throws ShapeError if the codes
/// are not whole frames of as many books as delays, ConfigError for no delays or a negative one.
DelayedCodes delay_codes(std::span<const long> codes, std::span<const long> delays, long pad,
                         DelayEnd end = DelayEnd::grow);
/// The opposite: the first `frames` frames of every book, from codes that were delayed. Throws as `delay_codes`, and
/// ShapeError where a book ends before that many frames.
std::vector<long> undelay_codes(std::span<const long> delayed, std::span<const long> delays, long frames);

}  // namespace phonaut
