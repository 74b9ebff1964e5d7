#pragma once
// Waveforms as frames of one channel, for the ops that work on frames; and zeros behind their ends.
#include "phonaut/core/waveform.hpp"
#include "phonaut/ops/mask_frames.hpp"

namespace phonaut {

/// (N, samples) as frames (N, samples, 1).
template <class B>
Sequence<B> as_column(const Waveform<B>& x) {
  return {reshape(x.samples, Shape<3>{x.batch(), x.time(), 1}), x.lengths, x.rate};
}

/// The same samples with zeros behind the end of each utterance; x itself where nothing is padded.
template <class B>
Waveform<B> mask_samples(const Waveform<B>& x) {
  check_lengths("mask_samples", x);
  if (!x.padded()) return x;
  return x.with(reshape(mask_frames(as_column(x)).frames, x.samples.shape()));
}

}  // namespace phonaut
