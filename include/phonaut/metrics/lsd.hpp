#pragma once
// Log-spectral distance.
#include <span>

#include "phonaut/ops/spectral_scales.hpp"

namespace phonaut {

/// Root mean square over bins of log10 |X|² - log10 |Y|², mean over frames. 0 of signals without samples. Throws
/// ShapeError if lengths differ.
double log_spectral_distance(std::span<const float> x, std::span<const float> y, const LsdConfig& config = {});

}  // namespace phonaut
