#pragma once
// Samples on the host as waveforms of a computation.
#include <phonaut/phonaut.hpp>
#include <vector>

/// A batch (N, time) of recordings of those lengths at `rate` Hz. Throws ShapeError if the numbers do not fit.
phonaut::Waveform<phonaut::Backend> waveform_of(phonaut::Context<phonaut::Backend>& ctx,
                                                const std::vector<float>& samples, const std::vector<long>& lengths,
                                                long time, int rate);
