#pragma once
// Who speaks, made uncertain, so that a model learns what is said: formants, pitch and colour moved at random. H.-S.
// Choi et al., "Neural Analysis and Synthesis: Reconstructing Speech from Self-Supervised Representations" (NANSY),
// 2021; K. Qian et al., "ContentVec", 2022.
#include "phonaut/frontends/equaliser.hpp"
#include "phonaut/frontends/voice_shift.hpp"

namespace phonaut {

/// How far. Factors are uniform in 1 … their greatest, half of them inverted. The defaults are ContentVec's; its
/// equaliser goes up to 7600 Hz, NANSY's up to 10 kHz.
struct SpeakerPerturbation {
  double probability = 1;                         ///< of an utterance to be changed at all
  double formants = 1.4, pitch = 2, range = 1.5;  ///< greatest factors
  long bands = 10;                                ///< of the equaliser: shelves at both ends; 0: none
  double low = 60, high = 7600;                   ///< Hz of the two shelves; peaks are equal ratios apart in between
  double gain = 12;                               ///< dB, uniform in -gain … gain for each band
  double least_q = 2, most_q = 5;                 ///< of each band, uniform in its logarithm
  PitchConfig tracker = {.low = 75, .high = 400};
};

/// What was drawn for an utterance.
struct SpeakerChange {
  VoiceShift voice = {};
  std::vector<Biquad> equaliser = {};
};

/// The changes of `count` utterances. Those of one utterance do not depend on how many there are. Throws ConfigError
/// for probabilities outside of [0, 1], greatest factors below 1 (or formants above 4), one band, or an equaliser that
/// does not fit the sample rate.
inline std::vector<SpeakerChange> draw_speaker_changes(Random& random, long count, const SpeakerPerturbation& o) {
  if (!(o.probability >= 0 && o.probability <= 1) || !(o.formants >= 1 && o.formants <= 4) || !(o.pitch >= 1) ||
      !(o.range >= 1) || o.bands < 0 || o.bands == 1)
    throw ConfigError(concat("perturb_speakers: need a probability (", o.probability,
                             ") in [0, 1], factors of formants (", o.formants, ") in [1, 4], of pitch (", o.pitch,
                             ") and range (", o.range, ") of at least 1, and no or at least 2 bands (", o.bands, ")"));
  if (!(o.low > 0 && o.low < o.high && o.least_q > 0 && o.least_q <= o.most_q && o.gain >= 0))
    throw ConfigError(
        concat("perturb_speakers: need 0 < low < high, 0 < least_q <= most_q and a gain that is not negative, got ",
               o.low, ", ", o.high, ", ", o.least_q, ", ", o.most_q, " and ", o.gain));
  const long own = 7 + 2 * o.bands;
  std::vector<SpeakerChange> changes;
  for (long n = 0; n < count; ++n) {
    const Draws draws = random.take(own);
    const auto uniform = [&](long i) { return static_cast<double>(draws.uniform(i)); };
    const auto factor = [&](double most, long i) {
      const double f = 1 + (most - 1) * uniform(i);
      return uniform(i + 1) < 0.5 ? 1 / f : f;
    };
    SpeakerChange& change = changes.emplace_back();
    if (!(uniform(0) < o.probability)) continue;
    change.voice = {factor(o.formants, 1), factor(o.pitch, 3), factor(o.range, 5)};
    for (long b = 0; b < o.bands; ++b) {
      const double share = static_cast<double>(b) / static_cast<double>(o.bands - 1),
                   hz = o.low * std::pow(o.high / o.low, share), gain = o.gain * (2 * uniform(7 + 2 * b) - 1),
                   q = o.least_q * std::pow(o.most_q / o.least_q, uniform(8 + 2 * b)), rate = o.tracker.sample_rate;
      change.equaliser.push_back(b == 0             ? Biquad::low_shelf(gain, hz, q, rate)
                                 : b + 1 == o.bands ? Biquad::high_shelf(gain, hz, q, rate)
                                                    : Biquad::peak(gain, hz, q, rate));
    }
  }
  return changes;
}

/// In training, each utterance of x in another voice, through another equaliser (N, samples); otherwise x itself. Draws
/// come from the context. No gradient. Throws ConfigError as draw_speaker_changes and shift_voice, or for another
/// sample rate than that of `o.tracker`.
template <class B>
Waveform<B> perturb_speakers(const Waveform<B>& x, const SpeakerPerturbation& o = {}) {
  auto& ctx = x.context();
  if (!ctx.training()) return x;
  std::vector<VoiceShift> shifts;
  std::vector<std::vector<Biquad>> chains;
  for (auto& change : draw_speaker_changes(ctx.random(), x.batch(), o)) {
    shifts.push_back(change.voice);
    chains.push_back(std::move(change.equaliser));
  }
  return equalise(shift_voice(x, shifts, o.tracker), chains);
}

}  // namespace phonaut
