// Frontends that are banks of fixed filters: resampling without aliases and in streams, tones in the right bin, and
// statistics that make up a normalisation.
#include <algorithm>
#include <cmath>
#include <complex>

#include "catch.hpp"
#include "phonaut/frontends/cmvn.hpp"
#include "phonaut/frontends/cqt.hpp"
#include "phonaut/frontends/gammatone.hpp"
#include "phonaut/frontends/resample.hpp"
#include "phonaut/testing/gradient_check.hpp"

using namespace phonaut;
using namespace phonaut::testing;

namespace {

constexpr double pi = 3.14159265358979323846;

std::vector<double> tone(double hertz, double rate, long samples) {
  std::vector<double> x;
  for (long i = 0; i < samples; ++i) x.push_back(std::sin(2 * pi * hertz * static_cast<double>(i) / rate));
  return x;
}
Waveform<Cpu> wave(Context<Cpu>& ctx, const std::vector<double>& x, double rate = 0) {
  return {input(ctx, Shape<2>{1, static_cast<long>(x.size())}, x), {}, rate};
}
/// Root mean square of the middle half, where the ends of the signal are not seen.
double level(const std::vector<float>& y) {
  double total = 0;
  for (size_t i = y.size() / 4; i < 3 * y.size() / 4; ++i)
    total += static_cast<double>(y[i]) * static_cast<double>(y[i]);
  return std::sqrt(total / (static_cast<double>(y.size()) / 2));
}
double decibel(double ratio) { return 20 * std::log10(ratio); }

}  // namespace

TEST_CASE("a tone above the new Nyquist frequency does not come back as another", "[frontends]") {
  Context<Cpu> ctx;
  const auto gain = [&](const ResampleConfig& c, double hertz) {
    const double rate = static_cast<double>(c.from);
    return decibel(level(values_of(resample(wave(ctx, tone(hertz, rate, c.from / 2), rate), c).samples)) *
                   std::sqrt(2.0));
  };
  for (const long from : {48000L, 44100L}) {
    const ResampleConfig hann{.from = from, .to = 16000}, kaiser = ResampleConfig::kaiser_best(from, 16000);
    // Without a filter both tones would stay at 0 dB: 11 kHz as an alias at 5 kHz. The Fourier sum of six zero
    // crossings under a Hann window is -49.4 dB there; that of 64 under a Kaiser window is below the rounding of float.
    CHECK(gain(hann, 11000) < -45);
    CHECK(gain(kaiser, 11000) < -110);
    CHECK(gain(kaiser, 8200) < -60);  // close by: where the short filter still lets a part through
    CHECK(std::fabs(gain(hann, 1000)) < 0.05);
    CHECK(std::fabs(gain(kaiser, 7000)) < 0.05);
  }
  // What is left of a tone is what the filter's own response says, in its stop band and on its slope.
  const ResampleConfig third{.from = 48000, .to = 16000};
  const ResampleFilter filter(third);
  for (const double hertz : {3000.0, 9000.0, 11000.0, 13000.0}) {
    std::complex<double> response = 0;
    for (long i = 0; i < filter.taps; ++i)
      response +=
          filter.rows[static_cast<size_t>(i)] * std::polar(1.0, -2 * pi * hertz / 48000 * static_cast<double>(i));
    CHECK(gain(third, hertz) == Approx(decibel(std::abs(response))).margin(0.05));
  }
}

TEST_CASE("resampling there and back keeps what both rates can hold", "[frontends]") {
  Context<Cpu> ctx;
  const auto x = tone(1234, 16000, 4000);
  const auto up = resample(wave(ctx, x, 16000), ResampleConfig::kaiser_best(16000, 44100));
  CHECK(up.rate == 44100);
  CHECK(up.time() == 11025);
  const auto back = values_of(resample(up, ResampleConfig::kaiser_best(44100, 16000)).samples);
  REQUIRE(back.size() == x.size());
  double worst = 0;
  for (size_t i = 400; i + 400 < x.size(); ++i) worst = std::max(worst, std::fabs(static_cast<double>(back[i]) - x[i]));
  CHECK(worst < 1e-4);  // the ripple of the filter in its pass band, twice
}

TEST_CASE("a resampled stream is the resampled signal, whatever the chunks", "[frontends]") {
  Context<Cpu> ctx;
  const Shape<2> shape{3, 1001};
  const auto x = input(ctx, shape, normal(shape, 1).data);
  for (const auto& [from, to] : {std::pair{3L, 1L}, {2L, 3L}, {441L, 160L}, {5L, 5L}}) {
    const Resampler<Cpu> resampler(ctx, {.from = from, .to = to});
    const auto whole = values_of(resampler(Waveform<Cpu>{x, {}, 0}).samples);
    for (const long chunk : {1L, 7L, 160L, 1001L}) {
      auto state = resampler.start(3);
      for (int round = 0; round < 2; ++round) {  // a finished state starts again
        std::vector<Var<Cpu, 2>> parts;
        for (long at = 0; at < 1001; at += chunk) {
          const Waveform<Cpu> piece{slice(x, 1, at, std::min(1001L, at + chunk)), {}, 0};
          parts.push_back(resampler(piece, state).samples);
        }
        parts.push_back(resampler.finish(ctx, state).samples);
        const auto y = values_of(concatenate(parts, 1));
        REQUIRE(y.size() == whole.size());
        double worst = 0;
        for (size_t i = 0; i < y.size(); ++i)
          worst = std::max(worst, std::fabs(static_cast<double>(y[i]) - static_cast<double>(whole[i])));
        // The products of a chunk may be added in another order than those of the whole; values are up to 4.
        CHECK(worst < 4e-6);
      }
    }
  }
  const Resampler<Cpu> resampler(ctx, {.from = 2, .to = 1});
  auto state = resampler.start(2);
  CHECK_THROWS_AS(resampler(Waveform<Cpu>{x, {}, 0}, state), ShapeError);
  CHECK_THROWS_AS(resampler.start(0), ConfigError);
}

TEST_CASE("resampling refuses what makes no filter", "[frontends]") {
  Context<Cpu> ctx;
  const auto x = wave(ctx, tone(100, 8000, 50), 8000);
  CHECK_THROWS_AS(resample(x, ResampleConfig{.from = 16000, .to = 8000}), ConfigError);
  CHECK_THROWS_AS(resample(x, ResampleConfig{.from = 8000, .to = 0}), ConfigError);
  CHECK_THROWS_AS(resample(x, ResampleConfig{.from = 8000, .to = 7999, .zeros = 0}), ConfigError);
  CHECK_THROWS_AS(resample(x, ResampleConfig{.from = 8000, .to = 4000, .rolloff = 1.5}), ConfigError);
  CHECK_THROWS_AS(ResampleFilter(ResampleConfig{.from = 1000003, .to = 1000000}), ConfigError);
  CHECK(resample(wave(ctx, {}), ResampleConfig{.from = 3, .to = 2}).time() == 0);
}

TEST_CASE("a tone is loudest in the bin or filter of its frequency", "[frontends]") {
  Context<Cpu> ctx;
  const Cqt<Cpu> cqt(ctx, {.low = 110, .bins = 36, .per_octave = 12, .hop = 400});
  const auto y = cqt(wave(ctx, tone(cqt.frequency(17), 16000, 8000), 16000));
  CHECK(y.time() == 21);
  const auto v = values_of(y.frames);
  const auto loudness = [&](long k) {
    const size_t at = static_cast<size_t>(10 * 72 + 2 * k);
    return std::hypot(static_cast<double>(v[at]), static_cast<double>(v[at + 1]));
  };
  CHECK(loudness(17) == Approx(0.5).epsilon(0.01));  // half of a sine is at the positive frequency
  for (long k = 0; k < 36; ++k) CHECK(loudness(k) <= loudness(17));

  const Cochleagram<Cpu> bank(ctx, {.filters = 20, .low = 100, .high = 6000});
  const auto energies = values_of(bank(wave(ctx, tone(bank.centres[12], 16000, 8000), 16000)).frames);
  const float* frame = energies.data() + 20 * 20;
  CHECK(std::max_element(frame, frame + 20) - frame == 12);
  CHECK(frame[12] == Approx(std::log(0.5)).margin(0.05));  // gain 1 at the centre, mean square of a sine 1/2

  CHECK_THROWS_AS(Cqt<Cpu>(ctx, {.low = 8000, .bins = 3}), ConfigError);
  CHECK_THROWS_AS(Cochleagram<Cpu>(ctx, {.high = 9000}), ConfigError);
  CHECK_THROWS_AS(bank(wave(ctx, tone(100, 8000, 800), 8000)), ConfigError);
}

TEST_CASE("statistics of parts add up, and normalise what they were taken of", "[frontends]") {
  Context<Cpu> ctx;
  const Shape<3> shape{2, 50, 4};
  const auto x = sequence_of(input(ctx, shape, normal(shape, 1, 3, 2).data), std::vector<long>{50, 20});
  FeatureStatistics whole, part;
  whole.add(x);
  part.add(whole);
  part.add(FeatureStatistics{});
  CHECK(part.frames == 70);
  CHECK(part.mean() == whole.mean());
  GlobalCmvn<Cpu> cmvn(ctx, 4);
  cmvn.set(ctx, whole.mean(), whole.deviation());
  FeatureStatistics after;
  after.add(cmvn(x));
  for (size_t c = 0; c < 4; ++c) {
    CHECK(after.mean()[c] == Approx(0).margin(1e-6));
    CHECK(after.deviation()[c] == Approx(1).epsilon(1e-5));
  }
  CHECK_THROWS_AS(cmvn.set(ctx, {0, 0, 0, 0}, {1, 1, 0, 1}), ConfigError);
  CHECK_THROWS_AS(cmvn.set(ctx, {0}, {1}), ShapeError);
  CHECK(FeatureStatistics{}.mean().empty());
}
