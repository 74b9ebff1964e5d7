// The pitch tracker on signals whose pitch is known.
#include <algorithm>
#include <cmath>
#include <limits>

#include "catch.hpp"
#include "phonaut/frontends/pitch.hpp"
#include "phonaut/testing/gradient_check.hpp"

using namespace phonaut;
using namespace phonaut::testing;

namespace {

constexpr double pi = 3.14159265358979323846;

/// Harmonics of a pitch that moves: amplitudes[h] of h + 1 times f0(t in seconds).
template <class F>
std::vector<double> voice(double rate, long samples, const F& f0, const std::vector<double>& amplitudes) {
  std::vector<double> x;
  double phase = 0;
  for (long i = 0; i < samples; ++i) {
    double v = 0;
    for (size_t h = 0; h < amplitudes.size(); ++h) v += amplitudes[h] * std::sin(static_cast<double>(h + 1) * phase);
    x.push_back(v);
    phase += 2 * pi * f0(static_cast<double>(i) / rate) / rate;
  }
  return x;
}
std::vector<double> tone(double hertz, double rate, long samples) {
  return voice(rate, samples, [=](double) { return hertz; }, {1});
}
/// The frames whose whole window is inside of the signal.
std::vector<PitchFrame> inner(const std::vector<PitchFrame>& track, const PitchConfig& c) {
  const long edge = (c.window() + c.longest()) / 2 / c.hop() + 2, count = static_cast<long>(track.size());
  return count > 2 * edge ? std::vector<PitchFrame>(track.begin() + edge, track.end() - edge)
                          : std::vector<PitchFrame>{};
}
double cents(double a, double b) { return 1200 * std::fabs(std::log2(a / b)); }

}  // namespace

TEST_CASE("a tone has its own pitch at every sample rate, path or not", "[frontends]") {
  for (const double rate : {8000.0, 16000.0, 44100.0})
    for (const bool track : {false, true}) {
      const PitchConfig config{.sample_rate = rate, .low = 60, .high = 500, .track = track};
      for (const double hertz : {60.0, 61.7, 97.3, 200.0, 333.3, 455.0, 500.0}) {
        INFO(hertz << " Hz at " << rate);
        const auto frames = inner(track_pitch(tone(hertz, rate, static_cast<long>(rate) / 2), config), config);
        REQUIRE(frames.size() > 30);
        for (const auto& frame : frames) {
          // The difference function of a tone is 1 - cos, whose terms above the square put a parabola off: by 0.22
          // cents in the worst of these cases (455 Hz at 8 kHz).
          CHECK(cents(frame.f0, hertz) < 0.3);
          CHECK(frame.voiced > 0.95);
        }
      }
    }
}

TEST_CASE("pitch follows a glide and a melody of harmonics under noise", "[frontends]") {
  const PitchConfig config{};
  const auto glide = [](double t) { return 100 * std::exp2(t); };  // an octave per second
  const auto frames = track_pitch(voice(16000, 24000, glide, {1, 0.6, 0.4, 0.3, 0.2}), config);
  for (size_t t = 5; t + 5 < frames.size(); ++t)
    CHECK(cents(frames[t].f0, glide(0.01 * static_cast<double>(t))) < 20);  // 12 cents pass in a shift

  const auto vibrato = [](double t) { return 180 + 20 * std::sin(2 * pi * 5 * t); };
  auto x = voice(16000, 32000, vibrato, {0.5, 1, 0.7, 0.5, 0.3, 0.2});  // the first harmonic is not the strongest
  const auto draws = normal(Shape<1>{32000}, 3).data;
  double power = 0;
  for (const double v : x) power += v * v / 32000;
  for (size_t i = 0; i < x.size(); ++i) x[i] += std::sqrt(power / 10) * draws[i];  // 10 dB
  const auto noisy = track_pitch(x, config);
  long right = 0, count = 0;
  for (size_t t = 5; t + 5 < noisy.size(); ++t, ++count)
    right += noisy[t].f0 > 0 && cents(noisy[t].f0, vibrato(0.01 * static_cast<double>(t))) < 50;
  CHECK(right >= count * 95 / 100);

  // A voice without its lowest harmonic has the pitch all the same.
  const auto missing =
      inner(track_pitch(voice(16000, 8000, [](double) { return 150; }, {0, 1, 1, 1, 1}), config), config);
  for (const auto& frame : missing) CHECK(cents(frame.f0, 150) < 5);
}

TEST_CASE("silence, a constant and noise have no voice", "[frontends]") {
  const PitchConfig config{};
  for (const double level : {0.0, 0.25})
    for (const auto& frame : inner(track_pitch(std::vector<double>(8000, level), config), config)) {
      CHECK(frame.f0 == 0);
      CHECK(frame.voiced == 0);
    }
  const auto frames = track_pitch(normal(Shape<1>{32000}, 7).data, config);
  CHECK(std::count_if(frames.begin(), frames.end(), [](auto& f) { return f.f0 > 0; }) <
        static_cast<long>(frames.size()) / 20);
  double voiced = 0;
  for (const auto& frame : frames) voiced += frame.voiced / static_cast<double>(frames.size());
  CHECK(voiced < 0.05);

  // A voice between two silences starts and stops within a window of where it does.
  std::vector<double> x(24000, 0.0);
  const auto middle = tone(140, 16000, 8000);
  std::copy(middle.begin(), middle.end(), x.begin() + 8000);
  const auto track = track_pitch(x, config);
  for (size_t t = 0; t < track.size(); ++t)
    if (t < 47 || t > 103) CHECK(track[t].f0 == 0);
    else if (t > 53 && t < 97) CHECK(cents(track[t].f0, 140) < 5);
}

TEST_CASE("pitch depends neither on loudness nor on an offset, and stays within its range", "[frontends]") {
  const PitchConfig config{.low = 80, .high = 300};
  const auto x = voice(16000, 9000, [](double t) { return 120 + 60 * t; }, {1, 0.5, 0.25});
  const auto want = track_pitch(x, config);
  auto y = x;
  for (double& v : y) v = 1e-3 * v;
  const auto quiet = track_pitch(y, config);
  for (size_t t = 0; t < want.size(); ++t) CHECK(quiet[t].f0 == Approx(want[t].f0).epsilon(1e-9));
  for (double& v : y) v += 0.5;
  const auto shifted = inner(track_pitch(y, config), config),
             plain = inner(want, config);  // at the ends, the offset steps
  for (size_t t = 0; t < plain.size(); ++t) CHECK(shifted[t].f0 == Approx(plain[t].f0).epsilon(1e-6));
  for (const double hertz : {30.0, 50.0, 79.0, 301.0, 500.0, 1200.0, 7000.0})
    for (const bool track : {false, true}) {
      const PitchConfig narrow{.low = 80, .high = 300, .track = track};
      for (const auto& frame : track_pitch(tone(hertz, 16000, 8000), narrow)) {
        CHECK((frame.f0 == 0 || (frame.f0 >= 80 && frame.f0 <= 300)));
        CHECK((frame.voiced >= 0 && frame.voiced <= 1));
      }
    }
}

TEST_CASE("pitch of a batch is that of its utterances, however short", "[frontends]") {
  Context<Cpu> ctx;
  ctx.poison(true);
  const Pitch<Cpu> pitch(ctx, {});
  const auto x = voice(16000, 4001, [](double t) { return 110 + 100 * t; }, {1, 0.5});
  const std::vector<long> lengths = {4001, 3199, 401, 159, 7, 1, 0};
  std::vector<double> rows;
  for (size_t n = 0; n < lengths.size(); ++n) rows.insert(rows.end(), x.begin(), x.end());
  const Waveform<Cpu> batch{input(ctx, Shape<2>{7, 4001}, rows), lengths_of(ctx, lengths), 16000};
  const auto all = pitch(batch);
  CHECK(all.rate == 100);
  REQUIRE(all.frames.shape() == Shape<3>{7, 26, 2});
  const auto got = values_of(all.frames);
  for (long n = 0; n < 7; ++n) {
    const long length = lengths[static_cast<size_t>(n)];
    const auto alone = pitch(Waveform<Cpu>{slice(slice(batch.samples, 0, n, n + 1), 1, 0, length), {}, 16000});
    REQUIRE(alone.time() == (length > 0 ? 1 + length / 160 : 0));
    CHECK(all.length(n) == alone.time());
    const auto want = values_of(alone.frames);
    for (size_t i = 0; i < 52; ++i) CHECK(got[static_cast<size_t>(n) * 52 + i] == (i < want.size() ? want[i] : 0.0f));
  }
  CHECK(got[20] > 100);  // the tenth frame has a voice
}

TEST_CASE("the pitch tracker refuses what it cannot work with", "[frontends]") {
  Context<Cpu> ctx;
  const auto refuse = [&](const PitchConfig& c) { CHECK_THROWS_AS(Pitch<Cpu>(ctx, c), ConfigError); };
  refuse({.low = 0});
  refuse({.low = 500, .high = 500});
  refuse({.high = 8001});
  refuse({.sample_rate = std::numeric_limits<double>::infinity()});
  refuse({.low = std::nan("")});
  refuse({.window_ms = 0});
  refuse({.window_ms = 1e9});
  refuse({.shift_ms = 0.01});
  refuse({.low = 1e-9});
  refuse({.threshold = 1});
  refuse({.octaves_per_s = -1});
  refuse({.switching = 0});
  std::vector<double> x(500, 0.0);
  x[77] = std::nan("");
  CHECK_THROWS_AS(track_pitch(x, PitchConfig{}), NumericalError);
  const Pitch<Cpu> pitch(ctx, {});
  CHECK_THROWS_AS(pitch(Waveform<Cpu>{input(ctx, Shape<2>{1, 3}, std::vector{1.0, 2.0, 3.0}), {}, 8000}), ConfigError);
}
