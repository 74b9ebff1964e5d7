#pragma once
// From waveforms to features of frames in one op: framing, window, transform, |X|, filter bank, logarithm. Nothing but
// the waveform is kept for backward, which transforms the frames a second time: that is cheaper than writing spectra to
// memory and reading them back.
#include "phonaut/ops/spectral_kernels.hpp"
#include "phonaut/ops/spectral_plan.hpp"

namespace phonaut {

/// x (N, samples) -> frames (N, T, plan columns), with gradient. An utterance gives the same frames alone and in any
/// batch; frames behind its last one are zero.
template <class B>
Sequence<B> spectral_features(const Waveform<B>& x, const SharedSpectralPlan<typename B::Scalar>& plan) {
  using S = typename B::Scalar;
  check_lengths("spectral features", x);
  auto& ctx = x.context();
  Lengths frames;
  long longest = 0, samples = 0;
  if (x.padded()) {
    frames = ctx.empty_lengths(x.batch());
    for (long n = 0; n < x.batch(); ++n) {
      frames.data()[n] = plan->frames(x.length(n));
      longest = std::max(longest, frames.data()[n]);
      samples = std::max(samples, x.length(n));
    }
  } else {
    samples = x.time();
    longest = plan->frames(samples);
  }
  const auto& config = plan->config();
  const Var<B, 2> padded =
      plan->in_place() ? rowwise(x.samples)
                       : pad_signal(x, config.pad_left, config.pad_right, config.edge, plan->padded(samples, longest));
  auto y = ctx.empty(Shape<3>{x.batch(), longest, plan->columns()});
  const auto pointer = [](const Lengths& l) { return l ? l.data() : static_cast<const long*>(nullptr); };
  {
    const auto scratch = ctx.empty(Shape<1>{kernel::spectral_scratch(ctx.backend(), plan->tables())});
    kernel::analysis_forward(ctx.backend(), plan->tables(), padded.in(), pointer(frames), y.out(), scratch.data());
  }
  auto recorded = record(
      std::move(y),
      [=](Context<B>& c, const Tensor<B, 3>& dy) {
        const Sink<S, 2> dx = c.sink(padded);
        if (!dx) return;
        const auto scratch = c.empty(Shape<1>{kernel::spectral_scratch(c.backend(), plan->tables())});
        kernel::analysis_backward(c.backend(), plan->tables(), padded.in(), pointer(frames), dy.in(), dx,
                                  scratch.data());
      },
      padded);
  return {std::move(recorded), frames, x.rate / static_cast<double>(config.hop)};
}

}  // namespace phonaut
