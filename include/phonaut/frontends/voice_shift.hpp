#pragma once
// Another voice saying the same at the same time: pitch and formants moved apart from each other. E. Moulines and F.
// Charpentier, "Pitch-synchronous waveform processing techniques for text-to-speech synthesis using diphones", 1990;
// the numbers are those of Praat's "Change gender".
#include <span>
#include <vector>

#include "phonaut/frontends/pitch.hpp"
#include "phonaut/frontends/resample.hpp"

namespace phonaut {

/// Factors; 1 changes nothing.
struct VoiceShift {
  double formants = 1;  ///< above 1: a shorter vocal tract. Rounded to a 64th.
  double pitch = 1;     ///< of the median of an utterance's pitch
  double range = 1;     ///< of the distance from that median
};

/// Overlap-add of periods. `stretched` are the samples of a signal at `ratio` times its speed, `pitch` the track of the
/// signal itself. Marks are set one period apart, where neighbouring periods are most alike; each place of the result
/// takes the periods around the mark that is nearest to its own time, at the distance that the new pitch asks for. What
/// has no voice is taken as it is. With all factors 1 the result is the signal. Throws ConfigError for factors that are
/// not positive.
std::vector<double> overlap_periods(std::span<const double> stretched, double ratio, long samples,
                                    std::span<const PitchFrame> pitch, const PitchConfig& config,
                                    const VoiceShift& shift);

/// Each utterance in a voice of its own, as long as it was; 0 behind its end. Formants move by resampling, which moves
/// the pitch and the duration too; both are then put right. Computed on the host; no gradient. Throws ShapeError unless
/// there is one shift for each utterance, ConfigError for formant factors outside of [1/4, 4], other factors that are
/// not positive or another sample rate than that of `pitch`, NumericalError for NaN or infinity among the samples.
template <class B>
Waveform<B> shift_voice(const Waveform<B>& x, const std::vector<VoiceShift>& shifts, const PitchConfig& pitch = {}) {
  check_lengths("shift_voice", x);
  check_rate("shift_voice", x, pitch.sample_rate);
  if (static_cast<long>(shifts.size()) != x.batch())
    throw ShapeError(concat("shift_voice: samples ", text(x.samples.shape()), " with ", shifts.size(), " shifts"));
  constexpr long steps = 64;
  auto& ctx = x.context();
  std::vector<double> rows(static_cast<size_t>(x.samples.size()), 0.0);
  const auto on_host = [](const Waveform<B>& w) {
    const auto values = values_of(w.samples);
    return std::vector<double>(values.begin(), values.end());
  };
  for (long n = 0; n < x.batch(); ++n) {
    const VoiceShift& shift = shifts[static_cast<size_t>(n)];
    if (!(shift.formants >= 0.25 && shift.formants <= 4))
      throw ConfigError(concat("shift_voice: formants times ", shift.formants, " are not within 1/4 … 4"));
    const Waveform<B> own{ctx.detach(slice(slice(x.samples, 0, n, n + 1), 1, 0, x.length(n))), {}, 0};
    const long from = std::lround(shift.formants * static_cast<double>(steps));
    const auto signal = on_host(own), stretched = on_host(resample(own, ResampleConfig{.from = from, .to = steps}));
    const auto y = overlap_periods(stretched, static_cast<double>(from) / static_cast<double>(steps), x.length(n),
                                   track_pitch(signal, pitch), pitch, shift);
    std::copy(y.begin(), y.end(), rows.begin() + n * x.time());
  }
  return x.with(input(ctx, x.samples.shape(), rows));
}

}  // namespace phonaut
