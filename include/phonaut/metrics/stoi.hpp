#pragma once
// Short-time objective intelligibility: how much of degraded speech would be understood.
#include <span>

namespace phonaut {

/// STOI (C. H. Taal et al., "An algorithm for intelligibility prediction of time-frequency weighted noisy speech",
/// 2011) of speech against its clean original, both at `rate` Hz; computed at 10 kHz, in third-octave bands over 384
/// ms, without the frames in which the original is silent. At most 1. With `extended`, ESTOI (J. Jensen, C. H. Taal,
/// "An algorithm for predicting the intelligibility of speech masked by modulated noise maskers", 2016). Agrees with
/// pystoi, but where that draws random numbers (constant bands in ESTOI) here is a correlation of 0. 1e-5 if less than
/// 30 frames of speech are left. Throws ShapeError if lengths differ, ConfigError for a rate below 1.
double stoi(std::span<const float> clean, std::span<const float> degraded, long rate, bool extended = false);

}  // namespace phonaut
