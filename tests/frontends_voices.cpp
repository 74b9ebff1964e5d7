// Voices that are changed: pitch and formants move as far as they should, and nothing else does.
#include <algorithm>
#include <cmath>
#include <complex>

#include "catch.hpp"
#include "phonaut/frontends/speaker_perturbation.hpp"
#include "phonaut/testing/gradient_check.hpp"

using namespace phonaut;
using namespace phonaut::testing;

namespace {

constexpr double pi = 3.14159265358979323846;
constexpr double rate = 16000;

/// Pulses of a pitch that moves, through two resonances of 80 Hz width. All of its frequencies but the pitch times
/// `formants`.
template <class F>
std::vector<double> vowel(long samples, const F& f0, double first, double second, double formants = 1) {
  std::vector<double> x(static_cast<size_t>(samples), 0.0);
  double phase = 0;
  for (long i = 0; i < samples; ++i)
    if ((phase += f0(static_cast<double>(i) / rate) / rate) >= 1) x[static_cast<size_t>(i)] = 1, phase -= 1;
  for (const double hertz : {first, second}) {
    const double radius = std::exp(-pi * 80 * formants / rate),
                 a1 = -2 * radius * std::cos(2 * pi * hertz * formants / rate), a2 = radius * radius;
    const Biquad resonance{1 + a1 + a2, 0, 0, a1, a2};
    equalise(x, std::span(&resonance, 1));
  }
  return x;
}
Waveform<Cpu> wave(Context<Cpu>& ctx, const std::vector<double>& x) {
  return {input(ctx, Shape<2>{1, static_cast<long>(x.size())}, x), {}, rate};
}
std::vector<double> shifted(const std::vector<double>& x, const VoiceShift& shift) {
  Context<Cpu> ctx;
  const auto y = values_of(shift_voice(wave(ctx, x), {shift}).samples);
  return {y.begin(), y.end()};
}
/// The pitch in the middle of the signal.
double pitch_of(const std::vector<double>& x, double from = 0.2, double to = 0.8) {
  const auto track = track_pitch(x, {});
  std::vector<double> voiced;
  const double frames = static_cast<double>(track.size());
  for (size_t t = static_cast<size_t>(from * frames); t < static_cast<size_t>(to * frames); ++t)
    if (track[t].f0 > 0) voiced.push_back(track[t].f0);
  REQUIRE(voiced.size() > 5);
  std::nth_element(voiced.begin(), voiced.begin() + static_cast<long>(voiced.size() / 2), voiced.end());
  return voiced[voiced.size() / 2];
}
/// The power of a quarter of a second around every harmonic up to 3500 Hz, in dB around their mean.
std::vector<double> harmonics(const std::vector<double>& x, double f0) {
  std::vector<double> levels;
  double mean = 0;
  for (int harmonic = 1; harmonic * f0 < 3500; ++harmonic) {
    const double hertz = harmonic * f0;
    double power = 0;
    for (int step_of_4 = 0; 4 * step_of_4 < f0; ++step_of_4) {
      const double f = hertz - f0 / 2 + 4 * step_of_4;
      std::complex<double> sum = 0, turn = 1;
      const auto step = std::polar(1.0, -2 * pi * f / rate);
      for (size_t i = 0; i < 4000; ++i, turn *= step)
        sum += turn * x[6000 + i] * (0.5 - 0.5 * std::cos(2 * pi * static_cast<double>(i) / 4000));
      power += std::norm(sum);
    }
    levels.push_back(10 * std::log10(power));
    mean += levels.back();
  }
  for (double& level : levels) level -= mean / static_cast<double>(levels.size());
  return levels;
}
double mean_difference(const std::vector<double>& a, const std::vector<double>& b) {
  double total = 0;
  for (size_t i = 0; i < a.size(); ++i) total += std::fabs(a[i] - b[i]) / static_cast<double>(a.size());
  return total;
}
double response(const std::vector<Biquad>& filters, double hertz) {
  std::vector<double> x(1 << 14, 0.0);
  x[0] = 1;
  equalise(x, filters);
  std::complex<double> sum = 0;
  for (size_t i = 0; i < x.size(); ++i) sum += x[i] * std::polar(1.0, -2 * pi * hertz * static_cast<double>(i) / rate);
  return 20 * std::log10(std::abs(sum));
}

}  // namespace

TEST_CASE("without a shift a voice stays what it is, silence and noise around it too", "[frontends]") {
  auto x = vowel(
      12000, [](double t) { return 110 + 40 * t; }, 700, 1200);
  const auto noise = normal(Shape<1>{20000}, 4).data;
  std::vector<double> all(20001, 0.0);
  std::copy(x.begin(), x.end(), all.begin() + 5000);
  for (size_t i = 0; i < 3000; ++i) all[i] = 0.05 * noise[i];
  const auto y = shifted(all, {});
  REQUIRE(y.size() == all.size());
  for (size_t i = 0; i < y.size(); ++i)
    CHECK(std::fabs(y[i] - all[i]) < 1e-6);  // windows add up to 1; floats at the door
}

TEST_CASE("pitch and formants move apart from each other", "[frontends]") {
  const auto x = vowel(
      16000, [](double) { return 125; }, 900, 2400);
  REQUIRE(pitch_of(x) == Approx(125).epsilon(0.01));
  for (const double pitch : {0.6, 1.0, 1.5, 2.0})
    for (const double formants : {0.75, 1.0, 1.25}) {
      INFO("pitch times " << pitch << ", formants times " << formants);
      const auto y = shifted(x, {.formants = formants, .pitch = pitch});
      REQUIRE(y.size() == x.size());
      const double f0 = 125 * pitch;
      CHECK(pitch_of(y) == Approx(f0).epsilon(0.015));  // a grain stands on a whole sample: half of one in 64
      // Against the same throat at the new pitch: windows of a period or two smear its resonances, by up to 3 dB at
      // their peaks and less elsewhere. With formants left where they were, the difference is 4 dB or more.
      const auto levels = harmonics(y, f0);
      for (const double other : {0.75, 1.0, 1.25}) {
        const auto made = harmonics(vowel(
                                        12000, [=](double) { return f0; }, 900, 2400, other),
                                    f0);
        if (other == formants) CHECK(mean_difference(levels, made) < 1.5);
        else CHECK(mean_difference(levels, made) > 3);
      }
    }
}

TEST_CASE("the range of pitch grows and shrinks around its median", "[frontends]") {
  const auto f0 = [](double t) { return 110 + 60 * t; };  // 110 to 170 Hz in a second
  const auto x = vowel(16000, f0, 700, 1500);
  for (const double range : {0.5, 1.0, 1.5}) {
    const auto y = shifted(x, {.pitch = 1.2, .range = range});
    for (const double at : {0.25, 0.5, 0.75})
      CHECK(pitch_of(y, at - 0.06, at + 0.06) == Approx(1.2 * (140 + range * (f0(at) - 140))).epsilon(0.03));
  }
}

TEST_CASE("an equaliser has the gains that it was asked for", "[frontends]") {
  for (const double gain : {-12.0, -3.0, 6.0, 12.0}) {
    const auto peak = std::vector{Biquad::peak(gain, 1000, 3, rate)};
    CHECK(response(peak, 1000) == Approx(gain).margin(1e-6));
    CHECK(std::fabs(response(peak, 100)) < 0.1);
    CHECK(std::fabs(response(peak, 7000)) < 0.1);
    const auto low = std::vector{Biquad::low_shelf(gain, 500, 0.7, rate)};
    CHECK(response(low, 1) == Approx(gain).margin(0.01));
    CHECK(response(low, 500) == Approx(gain / 2).margin(0.01));
    CHECK(std::fabs(response(low, 7000)) < 0.01);
    const auto high = std::vector{Biquad::high_shelf(gain, 2000, 0.7, rate)};
    CHECK(std::fabs(response(high, 1)) < 0.01);
    CHECK(response(high, 2000) == Approx(gain / 2).margin(0.01));
    CHECK(response(high, 7999) == Approx(gain).margin(0.01));
    CHECK(response({peak[0], low[0]}, 700) == Approx(response(peak, 700) + response(low, 700)).margin(1e-6));
  }
  CHECK_THROWS_AS(Biquad::peak(3, 8000, 1, rate), ConfigError);
  CHECK_THROWS_AS(Biquad::peak(3, 100, 0, rate), ConfigError);
  CHECK_THROWS_AS(Biquad::low_shelf(std::nan(""), 100, 1, rate), ConfigError);
}

TEST_CASE("speakers are perturbed in training, each utterance for itself", "[frontends]") {
  Context<Cpu> ctx;
  ctx.poison(true);
  const auto x = vowel(
      8000, [](double) { return 140; }, 800, 1700);
  std::vector<double> rows;
  for (int n = 0; n < 4; ++n) rows.insert(rows.end(), x.begin(), x.end());
  const Waveform<Cpu> batch{input(ctx, Shape<2>{4, 8000}, rows), lengths_of(ctx, std::vector<long>{8000, 5001, 3, 0}),
                            rate};
  CHECK(values_of(perturb_speakers(batch).samples) == values_of(batch.samples));
  ctx.train();
  const Random before = ctx.random();
  const auto all = perturb_speakers(batch);
  ctx.random() = before;
  const auto got = values_of(all.samples);
  REQUIRE(all.samples.shape() == batch.samples.shape());
  for (long n = 0; n < 4; ++n) {  // the first draws are those of the first utterance
    const Waveform<Cpu> alone{slice(slice(batch.samples, 0, n, n + 1), 1, 0, batch.length(n)), {}, rate};
    const auto want = values_of(perturb_speakers(alone).samples);
    for (size_t i = 0; i < 8000; ++i)
      CHECK(got[static_cast<size_t>(n) * 8000 + i] == Approx(i < want.size() ? want[i] : 0.0f).margin(1e-5));
  }

  Random random;
  long up = 0, changed = 0;
  const auto changes = draw_speaker_changes(random, 1000, {.probability = 0.5});
  for (const auto& change : changes) {
    const VoiceShift& v = change.voice;
    if (change.equaliser.empty()) continue;
    ++changed, up += v.pitch > 1;
    CHECK((v.formants >= 1 / 1.4 && v.formants <= 1.4 && v.pitch >= 0.5 && v.pitch <= 2));
    CHECK((v.range >= 1 / 1.5 && v.range <= 1.5));
    CHECK(change.equaliser.size() == 10);
  }
  CHECK(std::labs(changed - 500) < 80);  // five deviations
  CHECK(std::labs(2 * up - changed) < 120);
}

TEST_CASE("voices that cannot be made are refused", "[frontends]") {
  Context<Cpu> ctx;
  const auto x = wave(ctx, std::vector<double>(400, 0.0));
  CHECK_THROWS_AS(shift_voice(x, {}), ShapeError);
  CHECK_THROWS_AS(shift_voice(x, {{.formants = 5}}), ConfigError);
  CHECK_THROWS_AS(shift_voice(x, {{.pitch = 0}}), ConfigError);
  CHECK_THROWS_AS(shift_voice(x, {{.range = std::nan("")}}), ConfigError);
  CHECK_THROWS_AS(shift_voice(x, {{}}, {.sample_rate = 8000}), ConfigError);
  CHECK_THROWS_AS(equalise(x, {}), ShapeError);
  ctx.train();
  CHECK_THROWS_AS(perturb_speakers(x, {.probability = 2}), ConfigError);
  CHECK_THROWS_AS(perturb_speakers(x, {.formants = 0.5}), ConfigError);
  CHECK_THROWS_AS(perturb_speakers(x, {.bands = 1}), ConfigError);
  CHECK_THROWS_AS(perturb_speakers(x, {.high = 8000}), ConfigError);
  const auto silent = values_of(perturb_speakers(x).samples);
  CHECK(std::all_of(silent.begin(), silent.end(), [](float v) { return v == 0; }));
}
