#pragma once
// Waveforms made harder: noise, a second speaker, a room. Energies, and the gains that follow from them, are taken as
// constants: gradients reach the signals only.
#include <cmath>
#include <vector>

#include "phonaut/core/random.hpp"
#include "phonaut/ops/convolve.hpp"
#include "phonaut/ops/mix_regions.hpp"
#include "phonaut/ops/scale_utterances.hpp"

namespace phonaut {

namespace detail {

/// Σ x² over the first `count` samples of row n.
template <class S>
double row_energy(const std::vector<S>& values, long width, long n, long count) {
  double total = 0;
  for (long i = 0; i < count; ++i) {
    const double v = static_cast<double>(values[static_cast<size_t>(n * width + i)]);
    total += v * v;
  }
  return total;
}
/// The factor that brings a signal of energy `other` to `decibel` below one of energy `own`; 0 for a silent one.
inline double mixing_gain(double own, double other, double decibel) {
  return other > 0 ? std::sqrt(own / other * std::pow(10.0, -decibel / 10)) : 0;
}

}  // namespace detail

/// x (N, samples) + a · noise (N, as many or more), with a such that the energies over an utterance's own samples
/// differ by `snr` (N) dB. A silent noise adds nothing. Throws ShapeError for another number of noises or ratios, or
/// for a noise shorter than its utterance.
template <class B>
Waveform<B> add_noise(const Waveform<B>& x, const Waveform<B>& noise, const std::vector<double>& snr) {
  check_lengths("add_noise", x);
  check_lengths("add_noise", noise);
  if (noise.batch() != x.batch() || static_cast<long>(snr.size()) != x.batch())
    throw ShapeError(concat("add_noise: samples ", text(x.samples.shape()), " with noises ",
                            text(noise.samples.shape()), " and ", snr.size(), " ratios"));
  const auto speech = values_of(x.samples), other = values_of(noise.samples);
  std::vector<MixRegion> regions;
  for (long n = 0; n < x.batch(); ++n) {
    const long length = x.length(n);
    if (noise.length(n) < length)
      throw ShapeError(
          concat("add_noise: utterance ", n, " has ", length, " samples, but its noise only ", noise.length(n)));
    const double gain =
        detail::mixing_gain(detail::row_energy(speech, x.time(), n, length),
                            detail::row_energy(other, noise.time(), n, length), snr[static_cast<size_t>(n)]);
    regions.push_back({.row = n, .length = gain > 0 ? length : 0, .gain = gain});
  }
  return x.with(mix_regions(x.samples, noise.samples, std::move(regions)));
}

/// The gain that puts row `other_row` of one batch `decibel` below row `row` of another, by the mean squares of their
/// own samples; 0 for a silent one. For `mix_regions`.
template <class B>
double region_gain(const Waveform<B>& x, long row, const Waveform<B>& other, long other_row, double decibel) {
  const auto mean_square = [](const Waveform<B>& w, long n) {
    const long length = w.length(n);
    return detail::row_energy(values_of(slice(w.samples, 0, n, n + 1)), w.time(), 0, length) /
           static_cast<double>(std::max(1L, length));
  };
  return detail::mixing_gain(mean_square(x, row), mean_square(other, other_row), decibel);
}

/// How often and how loud WavLM mixes (S. Chen et al., "WavLM: Large-Scale Self-Supervised Pre-Training for Full Stack
/// Speech Processing", 2022).
struct UtteranceMixing {
  double probability = 0.2;                 ///< of an utterance to be mixed at all
  double noise_probability = 0.1;           ///< of noise then, if there is some; else another utterance of the batch
  double noise_low = -5, noise_high = 20;   ///< dB by which the utterance is louder than noise, uniform
  double speech_low = -5, speech_high = 5;  ///< … than another utterance
};

/// In training, a region of another utterance of the batch, or of one of `noises` (M, samples), is added to some of the
/// utterances of x; otherwise x itself. A region is 1 … half of the utterance long, and lies anywhere in both signals;
/// loudness is compared by the mean squares of the whole signals. What a model is to say of an utterance stays what it
/// was. Draws come from the context; those of one utterance do not depend on the lengths of others, but its partner is
/// one of them. Throws ConfigError for probabilities outside of [0, 1].
template <class B>
Waveform<B> mix_utterances(const Waveform<B>& x, const UtteranceMixing& o = {}, const Waveform<B>& noises = {}) {
  check_lengths("mix_utterances", x);
  if (!(o.probability >= 0 && o.probability <= 1 && o.noise_probability >= 0 && o.noise_probability <= 1))
    throw ConfigError(
        concat("mix_utterances: probabilities must be in [0, 1], got ", o.probability, " and ", o.noise_probability));
  auto& ctx = x.context();
  if (!ctx.training()) return x;
  const bool noisy = noises.samples && noises.batch() > 0;
  if (noisy) check_lengths("mix_utterances", noises);
  constexpr long per_utterance = 8;
  const Draws draws = ctx.random().take(x.batch() * per_utterance);
  std::vector<MixRegion> from_speech(static_cast<size_t>(x.batch())), from_noise = from_speech;
  for (long n = 0; n < x.batch(); ++n) {
    const long at = n * per_utterance;
    const bool with_noise = noisy && draws.uniform(at + 1) < static_cast<float>(o.noise_probability);
    if (!(draws.uniform(at) < static_cast<float>(o.probability)) || (!with_noise && x.batch() < 2)) continue;
    const Waveform<B>& other = with_noise ? noises : x;
    long row = draws.below(with_noise ? noises.batch() : x.batch() - 1, at + 2);
    if (!with_noise && row >= n) ++row;  // any but itself
    const long most = std::min(x.length(n) / 2, other.length(row));
    if (most < 1) continue;
    const double low = with_noise ? o.noise_low : o.speech_low, high = with_noise ? o.noise_high : o.speech_high;
    const double decibel = low + (high - low) * static_cast<double>(draws.uniform(at + 3));
    const long length = 1 + draws.below(most, at + 4);
    const double gain = region_gain(x, n, other, row, decibel);
    MixRegion& region = (with_noise ? from_noise : from_speech)[static_cast<size_t>(n)];
    region = {.row = row,
              .from = draws.below(other.length(row) - length + 1, at + 5),
              .start = draws.below(x.length(n) - length + 1, at + 6),
              .length = gain > 0 ? length : 0,
              .gain = gain};
  }
  Var<B, 2> y = mix_regions(x.samples, x.samples, std::move(from_speech));
  if (noisy) y = mix_regions(y, noises.samples, std::move(from_noise));
  return x.with(std::move(y));
}

/// x as a room with that impulse response passes it on: the response is cut before its strongest sample, so that
/// nothing is delayed, and divided by its energy's root; the result is as long as x. With `same_power`, each utterance
/// then gets the energy it had. Throws ConfigError for a response without a sample other than 0.
template <class B>
Waveform<B> reverberate(const Waveform<B>& x, std::vector<double> response, bool same_power = false) {
  const auto strongest = std::max_element(response.begin(), response.end(),
                                          [](double a, double b) { return std::fabs(a) < std::fabs(b); });
  if (strongest == response.end() || !(std::fabs(*strongest) > 0))
    throw ConfigError(concat("reverberate: all of the ", response.size(), " samples of the impulse response are 0"));
  response.erase(response.begin(), strongest);
  double energy = 0;
  for (const double v : response) energy += v * v;
  for (double& v : response) v /= std::sqrt(energy);
  const Waveform<B> y = convolve(x, response);
  if (!same_power) return y;
  const auto before = values_of(x.samples), after = values_of(y.samples);
  std::vector<typename B::Scalar> gains;
  for (long n = 0; n < x.batch(); ++n)
    gains.push_back(static_cast<typename B::Scalar>(detail::mixing_gain(
        detail::row_energy(before, x.time(), n, x.length(n)), detail::row_energy(after, x.time(), n, x.length(n)), 0)));
  const Var<B, 2> factors = input(x.context(), Shape<2>{x.batch(), 1}, gains);
  return y.with(reshape(scale_utterances(as_column(y).frames, factors.tensor()), x.samples.shape()));
}

}  // namespace phonaut
