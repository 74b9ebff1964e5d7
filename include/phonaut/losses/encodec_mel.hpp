#pragma once
// The multi-scale mel loss of EnCodec.
#include "phonaut/ops/spectral_scales.hpp"

namespace phonaut {

/// loss(x, y): estimate x and reference y, waveforms (N, samples) -> scalar. See EncodecMelConfig for the definition,
/// SpectralScales for batches with lengths.
template <class B>
struct EncodecMelLoss : SpectralScales<B> {
  using Config = EncodecMelConfig;

  /// Throws ConfigError for options that do not fit together.
  EncodecMelLoss(Context<B>&, Config c) : SpectralScales<B>(c), config(c) {}
  static void visit(auto&, auto&&) {}

  Config config;
};

}  // namespace phonaut
