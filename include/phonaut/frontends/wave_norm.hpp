#pragma once
// What some models want of a waveform before they look at it: mean 0 and variance 1, or high frequencies raised.
#include "phonaut/frontends/cmvn.hpp"
#include "phonaut/ops/arithmetic.hpp"
#include "phonaut/ops/mask_samples.hpp"
#include "phonaut/ops/pad_signal.hpp"

namespace phonaut {

/// (x - mean) / sqrt(variance + eps) over each utterance's own samples, the biased variance; 0 behind its end. eps is
/// 1e-7 for wav2vec 2.0, HuBERT and WavLM in transformers, 1e-5 in fairseq.
template <class B>
Waveform<B> wave_norm(const Waveform<B>& x, double eps = 1e-7) {
  check_lengths("wave_norm", x);
  return x.with(reshape(utterance_cmvn(as_column(x), {.eps = eps}).frames, x.samples.shape()));
}

/// y_t = x_t - coefficient · x_{t-1}; 0 behind the end. In front of the first sample stands a zero, or the sample
/// itself (Edge::symmetric, Kaldi's way).
template <class B>
Waveform<B> preemphasis(const Waveform<B>& x, double coefficient = 0.97, Edge before = Edge::symmetric) {
  using S = typename B::Scalar;
  const Var<B, 2> previous = pad_signal(x, 1, 0, before, x.time());
  return mask_samples(x.with(detail::linear_combination("preemphasis", S(1), x.samples, S(-coefficient), previous)));
}

}  // namespace phonaut
