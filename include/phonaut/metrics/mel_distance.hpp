#pragma once
// How far two signals are apart in log-mel spectra: the usual distance between a codec's input and output.
#include <span>

#include "phonaut/ops/spectral_scales.hpp"

namespace phonaut {

/// Multi-scale mel distance of signals at `config.sample_rate` (DAC's definition and windows by default): the sum over
/// windows of the mean |log10 mel - log10 mel'|. 0 of signals without samples. Throws ShapeError if lengths differ.
double mel_distance(std::span<const float> x, std::span<const float> y, const DacMelConfig& config = {});

}  // namespace phonaut
