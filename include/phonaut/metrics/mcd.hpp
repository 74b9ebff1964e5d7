#pragma once
// Mel-cepstral distortion between spoken and synthesised speech. R. Kubichek, "Mel-Cepstral Distance Measure for
// Objective Speech Quality Assessment", 1993.
#include <span>
#include <vector>

namespace phonaut {

struct McdOptions {
  bool skip_first = true;  ///< leaves out coefficient 0, the loudness
};

/// 10 / ln 10 · sqrt(2 Σ_d (a_d - b_d)²) of each frame in dB: cepstra a and b (T, dim) -> (T). Throws ShapeError if the
/// sizes differ or the frames are not whole, NumericalError if a number is not finite.
std::vector<double> mel_cepstral_distortions(std::span<const float> a, std::span<const float> b, long dim,
                                             const McdOptions& options = {});

/// The mean over the steps of the cheapest alignment (metrics/time_alignment.hpp) of a (T, dim) and b (S, dim), in dB.
/// Throws ShapeError if frames are not whole or missing, NumericalError if a number is not finite.
double aligned_mel_cepstral_distortion(std::span<const float> a, std::span<const float> b, long dim,
                                       const McdOptions& options = {});

}  // namespace phonaut
