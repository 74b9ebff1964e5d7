#include "phonaut/frontends/voice_shift.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

#include "phonaut/core/error.hpp"

namespace phonaut {

namespace {

constexpr double pi = 3.14159265358979323846;
constexpr double search = 0.2;  // how far a mark may be from where the tracked pitch expects it, in periods
constexpr long any = std::numeric_limits<long>::max();

/// A window of samples around `source` of the stretched signal, put around `at` of the result. It reaches at most
/// `left` and `right`, and not beyond its neighbours.
struct Grain {
  long at, source, left, right;
};

class Periods {
 public:
  Periods(std::span<const double> stretched, double ratio, std::span<const PitchFrame> pitch, const PitchConfig& config)
      : x_(stretched), ratio_(ratio), pitch_(pitch), rate_(config.sample_rate), hop_(config.hop()) {}

  /// The frame that a sample of the stretched signal is in.
  const PitchFrame& frame(long m) const {
    const long t = std::lround(static_cast<double>(m) * ratio_ / static_cast<double>(hop_));
    return pitch_[static_cast<size_t>(std::clamp(t, 0L, static_cast<long>(pitch_.size()) - 1))];
  }
  /// The marks of each stretch of voice, in samples of the stretched signal.
  std::vector<std::vector<long>> runs() const {
    std::vector<std::vector<long>> all;
    const long frames = static_cast<long>(pitch_.size());
    for (long t = 0; t < frames; ++t) {
      if (pitch_[static_cast<size_t>(t)].f0 <= 0) continue;
      long end = t;
      while (end < frames && pitch_[static_cast<size_t>(end)].f0 > 0) ++end;
      auto run = marks(sample(2 * t - 1), sample(2 * end - 1));
      if (run.size() > 1) all.push_back(std::move(run));
      t = end;
    }
    return all;
  }

 private:
  /// The sample of the stretched signal at so many half hops of the signal, within what there is.
  long sample(long half_hops) const {
    const double at = static_cast<double>(half_hops * hop_) / 2 / ratio_;
    return std::clamp(std::lround(at), 0L, static_cast<long>(x_.size()));
  }
  double value(long m) const { return m >= 0 && m < static_cast<long>(x_.size()) ? x_[static_cast<size_t>(m)] : 0; }
  long period(long m) const {
    const double f0 = frame(m).f0;
    return f0 > 0 ? std::max(2L, std::lround(rate_ / (f0 * ratio_))) : 0;
  }
  /// The place around `guess` whose surroundings, a period wide, are most like those of `mark`.
  long alike(long mark, long guess, long period) const {
    const long reach = std::lround(search * static_cast<double>(period)), half = period / 2;
    long best = guess;
    double most = -std::numeric_limits<double>::infinity();
    for (long to = guess - reach; to <= guess + reach; ++to) {
      double product = 0, energy = 0;
      for (long i = -half; i <= half; ++i) {
        product += value(mark + i) * value(to + i);
        energy += value(to + i) * value(to + i);
      }
      if (const double likeness = energy > 0 ? product / std::sqrt(energy) : 0; likeness > most)
        most = likeness, best = to;
    }
    return best;
  }
  /// Marks of a voice within begin … end: from the highest peak near its middle to both sides.
  std::vector<long> marks(long begin, long end) const {
    const long middle = (begin + end) / 2, first_period = period(middle);
    if (first_period == 0 || end - begin < 2 * first_period) return {};
    long start = middle;
    for (long m = std::max(begin, middle - first_period / 2); m < std::min(end, middle + first_period / 2); ++m)
      if (std::fabs(value(m)) > std::fabs(value(start))) start = m;
    std::vector<long> found = {start};
    for (const long side : {-1L, 1L}) {
      for (long m = start;;) {
        const long p = period(m);
        if (p == 0) break;
        const long next = alike(m, m + side * p, p);
        if (next < begin || next >= end) break;
        found.push_back(m = next);
      }
      if (side < 0) std::reverse(found.begin(), found.end());
    }
    return found;
  }

  std::span<const double> x_;
  double ratio_;
  std::span<const PitchFrame> pitch_;
  double rate_;
  long hop_;
};

double median_pitch(std::span<const PitchFrame> pitch) {
  std::vector<double> voiced;
  for (const PitchFrame& frame : pitch)
    if (frame.f0 > 0) voiced.push_back(frame.f0);
  if (voiced.empty()) return 0;
  std::nth_element(voiced.begin(), voiced.begin() + static_cast<long>(voiced.size() / 2), voiced.end());
  return voiced[voiced.size() / 2];
}

/// The rising half of a Hann window at distance `d` from its middle, `width` wide. Two halves that face each other add
/// up to 1.
double slope(long d, long width) {
  return d >= width ? 0 : 0.5 + 0.5 * std::cos(pi * static_cast<double>(d) / static_cast<double>(width));
}

}  // namespace

std::vector<double> overlap_periods(std::span<const double> stretched, double ratio, long samples,
                                    std::span<const PitchFrame> pitch, const PitchConfig& config,
                                    const VoiceShift& shift) {
  check_pitch_config(config);
  for (const double factor : {ratio, shift.pitch, shift.range})
    if (!(factor > 0) || !std::isfinite(factor))
      throw ConfigError(concat("overlap_periods: factors must be positive, got a ratio of ", ratio, ", a pitch of ",
                               shift.pitch, " and a range of ", shift.range));
  std::vector<double> y(static_cast<size_t>(std::max(0L, samples)), 0.0);
  if (y.empty() || stretched.empty() || pitch.empty()) return y;

  const Periods periods(stretched, ratio, pitch, config);
  const double median = median_pitch(pitch);
  const long step = std::max(1L, std::lround(0.005 * config.sample_rate));  // between grains without a voice
  const auto source_of = [&](double t) { return std::lround(t / ratio); };
  const auto slower = [&](long mark) {  // the old pitch by the new one
    const double f0 = periods.frame(mark).f0, wanted = shift.pitch * (median + shift.range * (f0 - median));
    // A wide range must not bring a low pitch to nothing.
    return f0 > 0 ? f0 / std::clamp(wanted, config.low / 2, 2 * config.high) : 1;
  };

  std::vector<Grain> grains;
  double t = 0;
  const auto unvoiced_until = [&](double end) {
    while (t < end) {
      grains.push_back({std::lround(t), source_of(t), step, step});
      t += static_cast<double>(step);
    }
    t = end;
  };
  for (const auto& marks : periods.runs()) {
    unvoiced_until(std::max(t, static_cast<double>(marks.front()) * ratio));
    const long last = static_cast<long>(marks.size()) - 1;
    for (long i = 0; t <= static_cast<double>(marks.back()) * ratio;) {
      while (i < last && std::fabs(static_cast<double>(marks[static_cast<size_t>(i + 1)]) * ratio - t) <=
                             std::fabs(static_cast<double>(marks[static_cast<size_t>(i)]) * ratio - t))
        ++i;
      const size_t at = static_cast<size_t>(i);
      // At the ends of a voice the neighbour is not a period away: there, only it says how far a window reaches.
      const long left = i > 0 ? marks[at] - marks[at - 1] : any, right = i < last ? marks[at + 1] - marks[at] : any;
      grains.push_back({std::lround(t), marks[at], left, right});
      t += i < last ? std::max(1.0, static_cast<double>(right) * ratio * slower(marks[at])) : static_cast<double>(step);
    }
  }
  unvoiced_until(static_cast<double>(samples + step));

  const auto value = [&](long m) {
    return m >= 0 && m < static_cast<long>(stretched.size()) ? stretched[static_cast<size_t>(m)] : 0;
  };
  for (size_t i = 0; i < grains.size(); ++i) {
    const Grain& g = grains[i];
    const long before = std::min(g.left, i > 0 ? g.at - grains[i - 1].at : step),
               after = std::min(g.right, i + 1 < grains.size() ? grains[i + 1].at - g.at : step);
    for (long d = std::max(-before + 1, -g.at); d < after && g.at + d < samples; ++d)
      y[static_cast<size_t>(g.at + d)] += slope(std::labs(d), d < 0 ? before : after) * value(g.source + d);
  }
  return y;
}

}  // namespace phonaut
