#include "phonaut/frontends/pitch.hpp"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>

#include "phonaut/core/error.hpp"

namespace phonaut {

namespace {

constexpr double bins_per_octave = 120;  // tenths of semitones, as pYIN
constexpr long thresholds = 100;         // … and its number of thresholds in (0, 1]
constexpr double decay = 2;              // of the prior: of troughs below a threshold, e^-2 as much for each next one
constexpr double no_trough = 0.01;       // weight of the thresholds that no trough is below, given to the deepest

/// A period that a frame may have.
struct Candidate {
  double f0, probability, aperiodicity;
};

/// The shares of `thresholds` equal steps of (0, 1] under the density of B(2, b): its distribution function is
/// 1 - (1 - x)^b (1 + b x).
std::vector<double> threshold_weights(double mean) {
  const double b = 2 / mean - 2;
  const auto above = [&](long i) {
    const double x = static_cast<double>(i) / static_cast<double>(thresholds);
    return std::pow(1 - x, b) * (1 + b * x);
  };
  std::vector<double> weights;
  for (long i = 0; i < thresholds; ++i) weights.push_back(above(i) - above(i + 1));
  return weights;
}

/// YIN's analysis of single frames.
class Periods {
 public:
  explicit Periods(const PitchConfig& c)
      : config_(c),
        shortest_(c.shortest()),
        longest_(c.longest()),
        weights_(threshold_weights(c.threshold)),
        difference_(static_cast<size_t>(longest_ + 2)),
        normalised_(difference_.size()) {}

  /// Samples of a frame: every shift of the window, and one more so that the longest period can be seen to be a
  /// minimum.
  long extent() const { return config_.window() + longest_ + 1; }

  /// Candidates of a frame of `extent()` samples, shortest period first.
  const std::vector<Candidate>& operator()(const double* x) {
    candidates_.clear();
    std::fill(difference_.begin(), difference_.end(), 0.0);
    double* const d = difference_.data();
    for (long j = 0; j < config_.window(); ++j)
      for (long lag = 1; lag <= longest_ + 1; ++lag) d[lag] += (x[j] - x[j + lag]) * (x[j] - x[j + lag]);
    double total = 0;
    for (long lag = 1; lag <= longest_ + 1; ++lag) {
      total += d[lag];
      normalised_[static_cast<size_t>(lag)] = total > 0 ? d[lag] * static_cast<double>(lag) / total : 1;
    }
    const double* const v = normalised_.data();
    for (long lag = std::max(2L, shortest_); lag <= longest_; ++lag)
      if (v[lag] < v[lag - 1] && v[lag] <= v[lag + 1])
        candidates_.push_back(
            {std::clamp(config_.sample_rate / (static_cast<double>(lag) + offset(d + lag)), config_.low, config_.high),
             0, v[lag]});
    weigh();
    return candidates_;
  }

 private:
  /// Where the parabola through three neighbours has its lowest point, from the middle one.
  static double offset(const double* d) {
    const double curvature = d[1] + d[-1] - 2 * d[0], slope = (d[1] - d[-1]) / 2;
    return std::fabs(slope) < std::fabs(curvature) ? -slope / curvature : 0;
  }
  /// Gives every candidate the weight of the thresholds that would choose it.
  void weigh() {
    if (candidates_.empty()) return;
    const auto deepest = std::min_element(candidates_.begin(), candidates_.end(),
                                          [](const auto& a, const auto& b) { return a.aperiodicity < b.aperiodicity; });
    for (long i = 0; i < thresholds; ++i) {
      const double threshold = static_cast<double>(i + 1) / static_cast<double>(thresholds),
                   weight = weights_[static_cast<size_t>(i)];
      const auto below = [&](const Candidate& c) { return c.aperiodicity < threshold; };
      const auto count = std::count_if(candidates_.begin(), candidates_.end(), below);
      if (count == 0) {
        deepest->probability += no_trough * weight;
        continue;
      }
      double share = (1 - std::exp(-decay)) / (1 - std::exp(-decay * static_cast<double>(count)));
      for (Candidate& c : candidates_)
        if (below(c)) {
          c.probability += weight * share;
          share *= std::exp(-decay);
        }
    }
  }

  PitchConfig config_;
  long shortest_, longest_;
  std::vector<double> weights_, difference_, normalised_;
  std::vector<Candidate> candidates_;
};

/// pYIN's path: one state for every bin of pitch, with a voice and without. A state without a voice remembers the
/// pitch, so that a voice goes on where it stopped.
class Path {
 public:
  explicit Path(const PitchConfig& c)
      : low_(c.low),
        bins_(static_cast<long>(bins_per_octave * std::log2(c.high / c.low)) + 1),
        reach_(std::clamp(
            std::lround(c.octaves_per_s * bins_per_octave * static_cast<double>(c.hop()) / c.sample_rate / 2), 0L,
            std::min(bins_ - 1, most_reach))),
        stay_(std::log(1 - c.switching)),
        change_(std::log(c.switching)),
        best_(static_cast<size_t>(2 * bins_), 0.0),
        next_(best_.size()) {
    // A step between bins is as probable as a triangle is high there, of what of the triangle is inside of the range.
    for (long k = -reach_; k <= reach_; ++k)
      step_.push_back(1 - static_cast<double>(std::labs(k)) / static_cast<double>(reach_ + 1));
    for (long bin = 0; bin < bins_; ++bin) {
      double inside = 0;
      for (long k = -reach_; k <= reach_; ++k)
        if (bin + k >= 0 && bin + k < bins_) inside += step_[static_cast<size_t>(k + reach_)];
      leave_.push_back(std::log(inside));
    }
    for (double& p : step_) p = std::log(p);
  }

  /// Goes on by one frame. Returns the probability that it has a voice.
  double add(const std::vector<Candidate>& candidates) {
    observed_.assign(static_cast<size_t>(bins_), 0.0);
    double voiced = 0;
    for (const Candidate& c : candidates) {
      observed_[static_cast<size_t>(bin_of(c.f0))] += c.probability;
      voiced += c.probability;
    }
    voiced = std::min(voiced, 1.0);
    if (from_.empty()) std::fill(next_.begin(), next_.end(), 0.0);
    else go_on();
    const double silent = std::log((1 - voiced) / static_cast<double>(bins_) + least);
    for (long bin = 0; bin < bins_; ++bin) {
      next_[static_cast<size_t>(bin)] += std::log(observed_[static_cast<size_t>(bin)] + least);
      next_[static_cast<size_t>(bins_ + bin)] += silent;
    }
    if (from_.empty()) from_.resize(next_.size());
    best_.swap(next_);
    return voiced;
  }
  /// The most probable bin of each frame, in Hz; 0 where there is no voice.
  std::vector<double> decode() const {
    const long states = 2 * bins_, frames = static_cast<long>(from_.size()) / states;
    std::vector<double> hz(static_cast<size_t>(frames), 0.0);
    long state = std::max_element(best_.begin(), best_.end()) - best_.begin();
    for (long t = frames; t-- > 0;) {
      if (state < bins_) hz[static_cast<size_t>(t)] = low_ * std::exp2(static_cast<double>(state) / bins_per_octave);
      const long back = from_[static_cast<size_t>(t * states + state)];
      const bool changes = back & 1;
      const long bin = state % bins_ + (back - (changes ? 1 : 0)) / 2;
      state = bin + ((state < bins_) != changes ? 0 : bins_);
    }
    return hz;
  }

 private:
  static constexpr double least = std::numeric_limits<double>::min();  // so that no logarithm is infinite
  static constexpr long most_reach = std::numeric_limits<std::int16_t>::max() / 2;

  long bin_of(double hz) const {
    return std::clamp(std::lround(bins_per_octave * std::log2(hz / low_)), 0L, bins_ - 1);
  }

  /// The best way into every state, before this frame is looked at. Where it comes from is kept as twice the difference
  /// of bins, plus 1 if the voice starts or stops.
  void go_on() {
    const size_t at = from_.size();
    from_.resize(at + next_.size());
    for (size_t i = 0; i < best_.size(); ++i) best_[i] -= leave_[i % static_cast<size_t>(bins_)];
    for (long bin = 0; bin < bins_; ++bin) {
      double most[2];
      long by[2] = {0, 0};
      for (long voice = 0; voice < 2; ++voice) {
        const double* const row = best_.data() + voice * bins_;
        most[voice] = -std::numeric_limits<double>::infinity();
        const long first = std::max(-reach_, -bin), last = std::min(reach_, bins_ - 1 - bin);
        for (long k = first; k <= last; ++k)
          if (const double v = row[bin + k] + step_[static_cast<size_t>(k + reach_)]; v > most[voice])
            most[voice] = v, by[voice] = k;
      }
      for (long voice = 0; voice < 2; ++voice) {
        const double same = most[voice] + stay_, other = most[1 - voice] + change_;
        const size_t state = static_cast<size_t>(voice * bins_ + bin);
        next_[state] = std::max(same, other);
        from_[at + state] = static_cast<std::int16_t>(same >= other ? 2 * by[voice] : 2 * by[1 - voice] + 1);
      }
    }
  }

  double low_;
  long bins_, reach_;
  double stay_, change_;
  std::vector<double> best_, next_, step_, leave_, observed_;
  std::vector<std::int16_t> from_;  ///< (frames, 2 · bins)
};

}  // namespace

void check_pitch_config(const PitchConfig& c) {
  constexpr double most_samples = 1 << 20;
  if (!(c.low > 0 && c.low < c.high && c.high <= c.sample_rate / 2) || !std::isfinite(c.sample_rate))
    throw ConfigError(
        concat("pitch: need 0 < low < high <= ", c.sample_rate / 2, " Hz, got low ", c.low, " and high ", c.high));
  if (!(c.sample_rate * (c.window_ms / 1000 + 1 / c.low) < most_samples &&
        c.sample_rate * c.shift_ms / 1000 < most_samples) ||
      c.window() < 1 || c.hop() < 1)
    throw ConfigError(concat("pitch: a window of ", c.window_ms, " ms every ", c.shift_ms, " ms down to ", c.low,
                             " Hz must have 1 … 2^20 samples at ", c.sample_rate, " Hz"));
  if (!(c.threshold > 0 && c.threshold < 1 && c.switching > 0 && c.switching < 1 && c.octaves_per_s >= 0) ||
      !std::isfinite(c.octaves_per_s))
    throw ConfigError(concat("pitch: the threshold (", c.threshold, ") and the probability of switching (", c.switching,
                             ") must be in (0, 1), the steepest change (", c.octaves_per_s,
                             " octaves per s) not negative"));
}

std::vector<PitchFrame> track_pitch(std::span<const double> samples, const PitchConfig& config) {
  check_pitch_config(config);
  for (size_t i = 0; i < samples.size(); ++i)
    if (!std::isfinite(samples[i])) throw NumericalError(concat("pitch: sample ", i, " is ", samples[i]));
  if (samples.empty()) return {};
  Periods periods(config);
  const long count = static_cast<long>(samples.size()), extent = periods.extent(), before = extent / 2;
  const long frames = 1 + count / config.hop();
  std::vector<double> padded(static_cast<size_t>((frames - 1) * config.hop() + extent), 0.0);
  std::copy_n(samples.begin(), std::min(count, static_cast<long>(padded.size()) - before), padded.begin() + before);

  std::vector<PitchFrame> track(static_cast<size_t>(frames));
  std::vector<std::vector<double>> found(track.size());
  Path path(config);
  for (long t = 0; t < frames; ++t) {
    PitchFrame& frame = track[static_cast<size_t>(t)];
    const auto& candidates = periods(padded.data() + t * config.hop());
    if (config.track) {
      frame.voiced = path.add(candidates);
      for (const Candidate& c : candidates) found[static_cast<size_t>(t)].push_back(c.f0);
      continue;
    }
    for (const Candidate& c : candidates) {
      frame.voiced += c.probability;
      if (frame.f0 == 0 && c.aperiodicity < config.threshold) frame.f0 = c.f0;
    }
    frame.voiced = std::min(frame.voiced, 1.0);
  }
  if (!config.track) return track;
  const auto hz = path.decode();
  for (size_t t = 0; t < track.size(); ++t) {
    track[t].f0 = hz[t];
    // The candidate that put the path into its bin knows better; bins are a tenth of a semitone apart.
    for (const double f0 : found[t])
      if (hz[t] > 0 && std::fabs(std::log2(f0 / hz[t])) <= 0.5 / bins_per_octave + 1e-9) track[t].f0 = f0;
  }
  return track;
}

}  // namespace phonaut
