#pragma once
// A waveform from magnitudes alone. D. W. Griffin, J. S. Lim, "Signal estimation from modified short-time Fourier
// transform", 1984; with momentum, N. Perraudin et al., "A fast Griffin-Lim algorithm", 2013.
#include "phonaut/ops/arithmetic.hpp"
#include "phonaut/ops/stft.hpp"

namespace phonaut {

struct GriffinLimConfig {
  StftConfig stft = {};
  long iterations = 32;
  double momentum = 0.99;  ///< 0: the algorithm of 1984
};

namespace kernel {

/// spectrum = magnitude · a / |a| with a = rebuilt - momentum · previous, complex numbers as pairs. Of a = 0 comes 0.
template <class S>
void replace_magnitudes(const Reference&, View<const S, 1> magnitude, const S* rebuilt, const S* previous, S momentum,
                        S* spectrum) {
  using math::sqrt;
  for (long i = 0; i < magnitude.size(); ++i) {
    const S re = rebuilt[2 * i] - momentum * previous[2 * i], im = rebuilt[2 * i + 1] - momentum * previous[2 * i + 1];
    const S scale = magnitude.data[i] / (sqrt(re * re + im * im) + S(1e-16));
    spectrum[2 * i] = scale * re;
    spectrum[2 * i + 1] = scale * im;
  }
}

void replace_magnitudes(const Cuda& cuda, View<const float, 1> magnitude, const float* rebuilt, const float* previous,
                        float momentum, float* spectrum);

}  // namespace kernel

/// Magnitudes (N, T, n_fft / 2 + 1) -> a waveform whose short-time transform comes near them, starting from phases of
/// 0. `samples` < 0 takes what the frames describe. An algorithm for listening: no gradient goes through it. Throws
/// ConfigError for options out of range, ShapeError if the frames do not fit the transform or the samples, or if there
/// are both lengths and `samples`.
template <class B>
Waveform<B> griffin_lim(const Sequence<B>& magnitudes, const GriffinLimConfig& c, long samples = -1) {
  using S = typename B::Scalar;
  check_lengths("griffin_lim", magnitudes);
  if (c.iterations < 0 || !(c.momentum >= 0 && c.momentum < 1))
    throw ConfigError(
        concat("griffin_lim: need iterations >= 0 and a momentum in [0, 1), got ", c.iterations, " and ", c.momentum));
  const auto analysis = make_spectral_plan<B>(c.stft.analysis(Spectrum::complex));
  const auto synthesis = std::make_shared<const SynthesisPlan<TableOf<S>>>(c.stft);
  check_channels("griffin_lim", magnitudes.frames.shape(), synthesis->bins(), "an n_fft of ", c.stft.n_fft);
  const long time = magnitudes.time(), all = samples >= 0 ? samples : synthesis->samples(time);
  if (samples >= 0 && magnitudes.padded())
    throw ShapeError(concat("griffin_lim: ", samples, " samples for all utterances do not go with lengths of each"));
  if (analysis->frames(all) != time)
    throw ShapeError(concat("griffin_lim: ", all, " samples have ", analysis->frames(all), " frames, but there are ",
                            time, " of magnitudes"));
  auto& ctx = magnitudes.context();
  const Var<B, 3> wanted = packed(ctx.detach(magnitudes.frames));
  const auto flat = detail::flat(wanted.in());
  const Shape<3> shape{wanted.extent(0), time, 2 * synthesis->bins()};
  const S momentum = static_cast<S>(c.momentum / (1 + c.momentum));

  Tensor<B, 3> previous = ctx.zeros(shape), spectrum = ctx.empty(shape);
  {  // magnitude · (1, 0): the phases of 0
    std::vector<S> ones(static_cast<size_t>(2 * wanted.size()), S(0));
    for (size_t i = 0; i < ones.size(); i += 2) ones[i] = S(1);
    const Var<B, 3> start = input(ctx, shape, ones);
    kernel::replace_magnitudes(ctx.backend(), flat, static_cast<const S*>(start.tensor().data()),
                               static_cast<const S*>(previous.data()), S(0), spectrum.data());
  }
  const auto heard = [&] {
    return detail::synthesise("griffin_lim", Sequence<B>{ctx.constant(spectrum), magnitudes.lengths, magnitudes.rate},
                              synthesis, samples);
  };
  for (long i = 0; i < c.iterations; ++i) {
    const Tensor<B, 3> rebuilt = packed(spectral_features(heard(), analysis).frames).tensor();
    kernel::replace_magnitudes(ctx.backend(), flat, static_cast<const S*>(rebuilt.data()),
                               static_cast<const S*>(previous.data()), momentum, spectrum.data());
    previous = rebuilt;
  }
  return heard();
}

}  // namespace phonaut
