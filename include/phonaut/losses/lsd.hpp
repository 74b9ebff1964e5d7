#pragma once
// Log-spectral distance as a loss.
#include "phonaut/ops/spectral_scales.hpp"

namespace phonaut {

/// loss(x, y): estimate x and reference y, waveforms (N, samples) -> scalar. See LsdConfig for the definition,
/// SpectralScales for batches with lengths.
template <class B>
struct LsdLoss : SpectralScales<B> {
  using Config = LsdConfig;

  /// Throws ConfigError for options that do not fit together.
  LsdLoss(Context<B>&, Config c) : SpectralScales<B>(c), config(c) {}
  static void visit(auto&, auto&&) {}

  Config config;
};

}  // namespace phonaut
