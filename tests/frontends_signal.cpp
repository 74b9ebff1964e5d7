// Laws of what is done to waveforms before frontends and to features after them: batches equal utterances, mixing is as
// loud as it says, and what is inverted comes back.
#include <algorithm>
#include <cmath>

#include "catch.hpp"
#include "phonaut/frontends/dmel.hpp"
#include "phonaut/frontends/griffin_lim.hpp"
#include "phonaut/frontends/log_mel.hpp"
#include "phonaut/frontends/mixing.hpp"
#include "phonaut/frontends/wave_norm.hpp"
#include "phonaut/metrics/stoi.hpp"
#include "phonaut/testing/gradient_check.hpp"

using namespace phonaut;
using namespace phonaut::testing;

namespace {

Waveform<Cpu> noise(Context<Cpu>& ctx, long batch, long samples, const std::vector<long>& lengths = {}) {
  const auto values = normal(Shape<2>{batch, samples}, 5);
  Waveform<Cpu> x{input(ctx, values.shape, values.data), {}, 0};
  if (!lengths.empty()) x.lengths = lengths_of(ctx, lengths);
  return x;
}

}  // namespace

TEST_CASE("an utterance is normed, filtered and reverberated in a batch as alone", "[frontends]") {
  Context<Cpu> ctx;
  ctx.poison(true);
  const auto x = noise(ctx, 4, 400, {400, 173, 1, 0});
  const auto check = [&](const auto& frontend) {
    const Waveform<Cpu> all = frontend(x);
    for (long n = 0; n < 4; ++n) {
      const auto alone = frontend(Waveform<Cpu>{slice(slice(x.samples, 0, n, n + 1), 1, 0, x.length(n)), {}, 0});
      REQUIRE(all.length(n) == alone.time());
      const auto want = values_of(alone.samples), got = values_of(slice(all.samples, 0, n, n + 1));
      for (size_t i = 0; i < got.size(); ++i)
        CHECK(std::fabs(got[i] - (i < want.size() ? want[i] : 0)) <
              1e-5f);  // products of other sizes may add in another order
    }
  };
  check([](const Waveform<Cpu>& w) { return wave_norm(w); });
  check([](const Waveform<Cpu>& w) { return preemphasis(w); });
  check([](const Waveform<Cpu>& w) { return convolve(w, {0.5, 0.25, -1}); });
  check([](const Waveform<Cpu>& w) { return reverberate(w, {0.1, 1, -0.5, 0.2}, true); });
}

TEST_CASE("NeMo's features are normed over an utterance's own frames, silence to zero", "[frontends]") {
  Context<Cpu> ctx;
  ctx.poison(true);
  const LogMel<Cpu> mel(ctx, LogMel<Cpu>::nemo());
  const std::vector<long> lengths = {4000, 1700, 161, 159, 0};
  auto x = noise(ctx, 5, 4000, lengths);
  const auto all = mel(x);
  const auto got = values_of(all.frames);
  REQUIRE(all.frames.shape() == Shape<3>{5, 25, 80});
  for (long n = 0; n < 5; ++n) {
    const auto alone = mel(Waveform<Cpu>{slice(slice(x.samples, 0, n, n + 1), 1, 0, x.length(n)), {}, 16000});
    REQUIRE(alone.time() == lengths[static_cast<size_t>(n)] / 160);
    const auto want = values_of(alone.frames);
    for (size_t i = 0; i < size_t{25} * 80; ++i)
      CHECK(got[static_cast<size_t>(n) * 25 * 80 + i] == (i < want.size() ? want[i] : 0.0f));
    for (size_t b = 0; b < 80 && alone.time() > 0; ++b) {
      double sum = 0, squares = 0;
      for (long t = 0; t < alone.time(); ++t) {
        const double v = static_cast<double>(want[static_cast<size_t>(t) * 80 + b]);
        sum += v, squares += v * v;
      }
      CHECK(std::fabs(sum) < 1e-4);
      // The unbiased deviation is 1 but for the 1e-5 that is added to it; a single frame has none.
      if (alone.time() > 1) CHECK(squares / static_cast<double>(alone.time() - 1) == Approx(1).epsilon(1e-3));
    }
  }
  const auto silence = values_of(mel(Waveform<Cpu>{ctx.constant(ctx.zeros(Shape<2>{1, 1600})), {}, 16000}).frames);
  CHECK(std::all_of(silence.begin(), silence.end(), [](float v) { return v == 0; }));
  ctx.train();  // dither moves silence
  const auto drawn = values_of(mel(Waveform<Cpu>{ctx.constant(ctx.zeros(Shape<2>{1, 1600})), {}, 16000}).frames);
  CHECK(std::any_of(drawn.begin(), drawn.end(), [](float v) { return v != 0; }));
  CHECK_THROWS_AS(LogMel<Cpu>(ctx, {.guard = -1}), ConfigError);
}

TEST_CASE("dMel codes survive the way there and back", "[frontends]") {
  Context<Cpu> ctx;
  const float nan = std::nanf("");
  const auto x = sequence_of(
      input(ctx, Shape<3>{2, 3, 2}, std::vector<float>{-20, -8, -7.7f, 2, 99, nan, -7.667f, -7.666f, 0, 0, 0, 0}),
      std::vector<long>{3, 1});
  const Dmel dmel;  // steps of 2/3 from -8 on
  const auto codes = dmel.encode(x);
  const std::vector<std::int32_t> got(codes.data(), codes.data() + codes.size());
  CHECK(got == std::vector<std::int32_t>{0, 0, 0, 15, 15, -1, 0, 1, -1, -1, -1, -1});
  const auto y = dmel.decode(ctx, codes, x.lengths);
  CHECK(values_of(y.frames)[3] == 2);
  CHECK(values_of(y.frames)[5] == 0);
  const auto again = dmel.encode(y);
  for (long i = 0; i < 12; ++i)
    if (got[static_cast<size_t>(i)] >= 0) CHECK(again.data()[i] == got[static_cast<size_t>(i)]);
  // With as many steps as levels, the upper end is none of them.
  const Dmel open({.low = 0, .high = 4, .levels = 4, .steps = 4});
  const auto top = open.encode(Sequence<Cpu>{input(ctx, Shape<3>{1, 1, 1}, std::vector{4.0}), {}, 0});
  CHECK(values_of(open.decode(ctx, top).frames)[0] == 3);
  CHECK_THROWS_AS(Dmel({.levels = 1}), ConfigError);
  CHECK_THROWS_AS(Dmel({.low = 1, .high = 1}), ConfigError);
}

TEST_CASE("noise is as loud as the ratio says, over an utterance's own samples", "[frontends]") {
  Context<Cpu> ctx;
  const auto x = noise(ctx, 3, 500, {500, 200, 0});
  const auto other = normal(Shape<2>{3, 600}, 9);
  const Waveform<Cpu> z{input(ctx, other.shape, other.data), {}, 0};
  const std::vector<double> ratios = {-5, 12, 3};
  const auto before = values_of(x.samples), after = values_of(add_noise(x, z, ratios).samples);
  for (size_t n = 0; n < 2; ++n) {
    double speech = 0, added = 0;
    for (size_t i = 0; i < 500; ++i) {
      const double a = before[n * 500 + i], d = after[n * 500 + i] - a;
      if (long(i) >= x.length(long(n))) CHECK(d == 0);
      else speech += a * a, added += d * d;
    }
    CHECK(10 * std::log10(speech / added) == Approx(ratios[n]).margin(1e-4));
  }
  // Silent noise adds nothing, and no NaN.
  const Waveform<Cpu> silence{ctx.constant(ctx.zeros(Shape<2>{3, 500})), {}, 0};
  CHECK(values_of(add_noise(x, silence, ratios).samples) == before);
  CHECK_THROWS_AS(add_noise(x, z, {0}), ShapeError);
  CHECK_THROWS_AS(add_noise(z, x, ratios), ShapeError);
  CHECK_THROWS_AS(mix_regions(x.samples, z.samples, {{.from = 590, .length = 20}, {}, {}}), ShapeError);
}

TEST_CASE("WavLM's mixing changes as many utterances as it should, half of each at most", "[frontends]") {
  Context<Cpu> ctx;
  const auto x = noise(ctx, 4, 300, {300, 300, 100, 1});
  CHECK(values_of(mix_utterances(x).samples) == values_of(x.samples));  // not in training
  ctx.train();
  const auto before = values_of(x.samples);
  long changed = 0;
  for (int round = 0; round < 500; ++round) {
    const auto after = values_of(mix_utterances(x).samples);
    for (size_t n = 0; n < 4; ++n) {
      long different = 0;
      for (size_t i = 0; i < 300; ++i) {
        const bool other = after[n * 300 + i] != before[n * 300 + i];
        different += other;
        if (other) CHECK(long(i) < x.length(long(n)));
      }
      CHECK(different <= x.length(long(n)) / 2);
      changed += different > 0;
    }
  }
  CHECK(changed > 240);  // 300 = 0.2 of 3 · 500 are expected, with a deviation of 15
  CHECK(changed < 360);
  CHECK_THROWS_AS(mix_utterances(x, {.probability = 1.5}), ConfigError);
}

TEST_CASE("Griffin-Lim comes nearer to the magnitudes with every iteration", "[frontends]") {
  Context<Cpu> ctx;
  const StftConfig config{.n_fft = 128, .hop = 32};
  const auto x = noise(ctx, 1, 1000);
  const Sequence<Cpu> magnitudes{spectrogram(x.samples, config, Spectrum::magnitude), {}, 0};
  double last = 1e30;
  for (const long iterations : {0L, 1L, 4L, 32L}) {
    const auto y = griffin_lim(magnitudes, {.stft = config, .iterations = iterations, .momentum = 0}, 1000);
    REQUIRE(y.time() == 1000);
    const auto got = values_of(spectrogram(y.samples, config, Spectrum::magnitude)),
               want = values_of(magnitudes.frames);
    double apart = 0;
    for (size_t i = 0; i < got.size(); ++i) apart += (got[i] - want[i]) * (got[i] - want[i]);
    CHECK(apart < last);
    last = apart;
  }
  CHECK_THROWS_AS(griffin_lim(magnitudes, {.stft = config}, 2000), ShapeError);
  CHECK_THROWS_AS(griffin_lim(magnitudes, {.stft = {.n_fft = 64, .hop = 32}}), ShapeError);
  CHECK_THROWS_AS(griffin_lim(magnitudes, {.stft = config, .momentum = 1}), ConfigError);
}

TEST_CASE("STOI is 1 of a copy, falls with noise, and has a value for silence and for nothing", "[metrics]") {
  const auto draws = normal(Shape<1>{30000}, 1), others = normal(Shape<1>{30000}, 2);
  std::vector<float> x, zero(30000, 0.0f);
  for (size_t i = 0; i < draws.data.size(); ++i)  // noise whose loudness comes and goes as speech does
    x.push_back(static_cast<float>(draws.data[i] * (1.1 + std::sin(double(i) / 500))));
  const auto noisy = [&](double gain) {
    std::vector<float> y = x;
    for (size_t i = 0; i < y.size(); ++i) y[i] += static_cast<float>(gain * others.data[i]);
    return y;
  };
  for (const bool extended : {false, true}) {
    CHECK(stoi(x, x, 16000, extended) == Approx(1).epsilon(1e-9));
    CHECK(stoi(x, x, 10000, extended) == Approx(1).epsilon(1e-9));
    const double little = stoi(x, noisy(0.3), 16000, extended), much = stoi(x, noisy(3), 16000, extended);
    CHECK(little < 1);
    CHECK(much < little);
    CHECK(std::isfinite(stoi(x, zero, 16000, extended)));
    CHECK(std::isfinite(stoi(zero, x, 16000, extended)));
  }
  CHECK(stoi({}, {}, 16000) == 1e-5);
  CHECK_THROWS_AS(stoi(x, {}, 16000), ShapeError);
  CHECK_THROWS_AS(stoi(x, x, 0), ConfigError);
}
