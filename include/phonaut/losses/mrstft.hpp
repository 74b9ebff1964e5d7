#pragma once
// Multi-resolution STFT loss, as auraloss has it.
#include "phonaut/ops/spectral_scales.hpp"

namespace phonaut {

/// loss(x, y): estimate x and reference y, waveforms (N, samples) -> scalar. See MrStftConfig for the definition,
/// SpectralScales for batches with lengths.
template <class B>
struct MrStftLoss : SpectralScales<B> {
  using Config = MrStftConfig;

  /// Throws ConfigError for options that do not fit together.
  MrStftLoss(Context<B>&, Config c) : SpectralScales<B>(c), config(std::move(c)) {}
  static void visit(auto&, auto&&) {}

  Config config;
};

}  // namespace phonaut
