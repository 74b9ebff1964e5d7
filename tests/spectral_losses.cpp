// Laws of the distances between spectrograms.
#include "phonaut/losses/dac_mel.hpp"
#include "phonaut/losses/dac_stft.hpp"
#include "phonaut/losses/encodec_mel.hpp"
#include "phonaut/losses/lsd.hpp"
#include "phonaut/losses/mrstft.hpp"

#include "catch.hpp"
#include "phonaut/metrics/lsd.hpp"
#include "phonaut/metrics/mel_distance.hpp"
#include "phonaut/testing/gradient_check.hpp"

using namespace phonaut;
using phonaut::testing::normal;

namespace {

Waveform<Cpu> wave(Context<Cpu>& ctx, const Shape<2>& shape, std::uint64_t seed,
                   const std::vector<long>& lengths = {}) {
  const auto v = normal(shape, seed, 0.1);
  Waveform<Cpu> x{ctx.variable(input(ctx, shape, v.data).tensor()), {}, 0};
  if (!lengths.empty()) x.lengths = lengths_of(ctx, lengths);
  return x;
}

/// f(loss) for each of the losses, at small sizes.
template <class F>
void for_each_loss(Context<Cpu>& ctx, const F& f) {
  f(MrStftLoss<Cpu>(ctx, {.resolutions = {{128, 30, 100}, {64, 16, 64}}}));
  f(DacMelLoss<Cpu>(ctx, {.windows = {32, 128}, .bands = {4, 12}}));
  f(DacStftLoss<Cpu>(ctx, {.windows = {128, 32}}));
  f(EncodecMelLoss<Cpu>(ctx, {.first = 5, .last = 7, .bands = 8}));
  f(LsdLoss<Cpu>(ctx, {.n_fft = 128, .hop = 32}));
}

}  // namespace

TEST_CASE("signals have no distance from themselves, and no gradient there", "[losses]") {
  Context<Cpu> ctx;
  for_each_loss(ctx, [&](const auto& loss) {
    ctx.train();
    const auto x = wave(ctx, {2, 1000}, 1);
    const auto y = wave(ctx, {2, 1000}, 1);
    const auto value = loss(x, y);
    CHECK(item(value) == 0);
    const auto gradients = ctx.backward(value);
    for (float g : values_of(ctx, gradients[x.samples])) CHECK(g == 0);
  });
}

TEST_CASE("silence gives finite losses and gradients", "[losses]") {
  Context<Cpu> ctx;
  for_each_loss(ctx, [&](const auto& loss) {
    ctx.train();
    const auto x = wave(ctx, {1, 700}, 1);
    const Waveform<Cpu> silence{ctx.variable(ctx.zeros(Shape<2>{1, 700})), {}, 0};
    for (const auto& [a, b] : {std::pair{x, silence}, std::pair{silence, x}}) {
      ctx.train();
      const auto p = ctx.variable(a.samples.tensor());
      const auto value = loss(Waveform<Cpu>{p, {}, 0}, Waveform<Cpu>{ctx.detach(b.samples), {}, 0});
      CHECK(std::isfinite(item(value)));
      const auto gradients = ctx.backward(value);
      for (float g : values_of(ctx, gradients[p])) CHECK(std::isfinite(g));
    }
  });
}

TEST_CASE("what stands in the padding changes neither loss nor gradient", "[losses]") {
  Context<Cpu> ctx;
  for_each_loss(ctx, [&](const auto& loss) {
    std::vector<float> losses;
    std::vector<std::vector<float>> gradients;
    for (float padding : {0.0f, 5.0f}) {
      ctx.train();
      auto x = wave(ctx, {3, 900}, 1, {900, 400, 0}), y = wave(ctx, {3, 900}, 2, {900, 400, 0});
      for (long n = 0; n < 3; ++n)
        for (long i = x.length(n); i < 900; ++i) x.samples.tensor().data()[n * 900 + i] = padding;
      const auto value = loss(x, y);
      losses.push_back(item(value));
      const auto g = ctx.backward(value);
      gradients.push_back(values_of(ctx, g[x.samples]));
      for (long n = 0; n < 3; ++n)
        for (long i = x.length(n); i < 900; ++i) CHECK(gradients.back()[static_cast<size_t>(n * 900 + i)] == 0);
    }
    CHECK(losses[0] == losses[1]);
    CHECK(gradients[0] == gradients[1]);
  });
}

TEST_CASE("the loss of a batch is the mean over the frames of its utterances", "[losses]") {
  Context<Cpu> ctx;
  const LsdLoss<Cpu> loss(ctx, {.n_fft = 128, .hop = 32});
  const auto x = wave(ctx, {2, 960}, 1, {960, 400}), y = wave(ctx, {2, 960}, 2, {960, 400});
  double total = 0, frames = 0;
  for (long n = 0; n < 2; ++n) {
    const auto part = [&](const Waveform<Cpu>& w) {
      return Waveform<Cpu>{slice(slice(w.samples, 0, n, n + 1), 1, 0, w.length(n)), {}, 0};
    };
    const long whole = x.length(n) / 32;
    const double count = 1 + static_cast<double>(whole);
    total += count * static_cast<double>(item(loss(part(x), part(y))));
    frames += count;
  }
  // Both are means of about 40 roundings of float.
  CHECK(std::fabs(static_cast<double>(item(loss(x, y))) - total / frames) < 1e-6);
}

TEST_CASE("the number of threads changes no bit of a spectral loss or its gradient", "[losses][threads]") {
  std::vector<std::vector<float>> results;
  for (int threads : {1, 2, 5}) {
    Context<Cpu> ctx;
    ctx.threads(threads);
    ctx.train();
    const auto x = wave(ctx, {3, 20000}, 1), y = wave(ctx, {3, 20000}, 2);
    const auto value = MrStftLoss<Cpu>(ctx, {})(x, y) + DacMelLoss<Cpu>(ctx, {})(x, y);
    const auto g = ctx.backward(value);
    results.push_back(values_of(ctx, g[x.samples]));
    results.back().push_back(item(value));
  }
  CHECK(results[0] == results[1]);
  CHECK(results[0] == results[2]);
}

TEST_CASE("spectral losses refuse what does not fit", "[losses]") {
  Context<Cpu> ctx;
  const DacMelLoss<Cpu> loss(ctx, {});
  CHECK_THROWS_AS(loss(wave(ctx, {1, 100}, 1), wave(ctx, {1, 101}, 1)), ShapeError);
  CHECK_THROWS_AS(loss(wave(ctx, {1, 100}, 1, {100}), wave(ctx, {1, 100}, 1, {90})), ShapeError);
  CHECK_THROWS_AS(DacMelLoss<Cpu>(ctx, {.windows = {32}}), ConfigError);
  CHECK_THROWS_AS(MrStftLoss<Cpu>(ctx, {.resolutions = {}})(wave(ctx, {1, 9}, 1), wave(ctx, {1, 9}, 1)), ConfigError);
  CHECK(item(loss(wave(ctx, {1, 0}, 1), wave(ctx, {1, 0}, 1))) == 0);
}

TEST_CASE("distances of signals as plain numbers", "[metrics]") {
  const auto x = normal(Shape<2>{1, 4000}, 1, 0.1).data, y = normal(Shape<2>{1, 4000}, 2, 0.1).data;
  const std::vector<float> a(x.begin(), x.end()), b(y.begin(), y.end());
  CHECK(mel_distance(a, a) == 0);
  CHECK(mel_distance(a, b) > 0.1);
  CHECK(log_spectral_distance(a, b) > 0.1);
  CHECK_THROWS_AS(mel_distance(a, std::vector<float>(10)), ShapeError);
}
