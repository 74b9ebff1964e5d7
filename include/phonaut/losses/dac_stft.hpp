#pragma once
// The multi-scale STFT loss of the Descript audio codec.
#include "phonaut/ops/spectral_scales.hpp"

namespace phonaut {

/// loss(x, y): estimate x and reference y, waveforms (N, samples) -> scalar. See DacStftConfig for the definition,
/// SpectralScales for batches with lengths.
template <class B>
struct DacStftLoss : SpectralScales<B> {
  using Config = DacStftConfig;

  /// Throws ConfigError for options that do not fit together.
  DacStftLoss(Context<B>&, Config c) : SpectralScales<B>(c), config(std::move(c)) {}
  static void visit(auto&, auto&&) {}

  Config config;
};

}  // namespace phonaut
