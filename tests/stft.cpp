// Laws of the short-time transform: a batch equals its utterances, threads change no bit, the inverse inverts, and
// short or empty signals have a defined result.
#include "phonaut/ops/stft.hpp"

#include "catch.hpp"
#include "phonaut/testing/gradient_check.hpp"

using namespace phonaut;
using phonaut::testing::normal;

namespace {

template <class B>
Waveform<B> noise(Context<B>& ctx, long batch, long samples, const std::vector<long>& lengths = {}) {
  const auto values = normal(Shape<2>{batch, samples}, 5);
  Waveform<B> x{ctx.variable(input(ctx, values.shape, values.data).tensor()), {}, 16000};
  if (!lengths.empty()) x.lengths = lengths_of(ctx, lengths);
  return x;
}

template <class B>
Waveform<B> one_of(const Waveform<B>& x, long n) {
  auto& ctx = x.context();
  const auto row = slice(slice(ctx.detach(x.samples), 0, n, n + 1), 1, 0, x.length(n));
  return {ctx.variable(ctx.clone(row.tensor())), {}, x.rate};
}

}  // namespace

TEST_CASE("an utterance has the same frames and gradients alone and in a padded batch", "[stft]") {
  for (const bool centre : {true, false}) {
    Context<Cpu> ctx;
    ctx.poison(true);
    ctx.train();
    const auto plan = make_spectral_plan<Cpu>(
        StftConfig{.n_fft = 64, .hop = 16, .window_length = 50, .centre = centre}.analysis(Spectrum::magnitude));
    const auto x = noise(ctx, 4, 700, {700, 333, 20, 0});
    const auto y = spectral_features(x, plan);
    CHECK(y.rate == 1000);
    const auto weights = normal(y.frames.shape(), 9);
    const auto all = ctx.backward(sum(input(ctx, weights.shape, weights.data) * y.frames));
    const auto frames = values_of(y.frames), gradient = values_of(ctx, all[x.samples]);
    for (long n = 0; n < 4; ++n) {
      ctx.train();
      const auto alone = one_of(x, n);
      const auto z = spectral_features(alone, plan);
      REQUIRE(z.time() == y.length(n));
      const long width = z.channels();
      const auto want = values_of(z.frames);
      for (long i = 0; i < y.time() * width; ++i) {
        const float expected = i < z.time() * width ? want[static_cast<size_t>(i)] : 0;
        CHECK(frames[static_cast<size_t>(n * y.time() * width + i)] == expected);
      }
      std::vector<float> want_gradient(static_cast<size_t>(x.length(n)), 0.0f);
      if (z.time() > 0) {
        std::vector<double> part(weights.data.begin() + n * y.time() * width,
                                 weights.data.begin() + (n * y.time() + z.time()) * width);
        const auto g = ctx.backward(sum(input(ctx, z.frames.shape(), part) * z.frames));
        want_gradient = values_of(ctx, g[alone.samples]);
      }
      for (long i = 0; i < 700; ++i)
        CHECK(gradient[static_cast<size_t>(n * 700 + i)] ==
              (i < x.length(n) ? want_gradient[static_cast<size_t>(i)] : 0));
    }
  }
}

TEST_CASE("a padded batch of spectra gives the signals of its utterances", "[stft]") {
  Context<Cpu> ctx;
  ctx.poison(true);
  const auto plan = make_head_plan<Cpu>({.n_fft = 32, .hop = 8});
  const auto values = normal(Shape<3>{3, 20, 34}, 3);
  Sequence<Cpu> x{input(ctx, values.shape, values.data), lengths_of(ctx, std::vector{20L, 7L, 0L}), 100};
  const auto y = istft_head(x, plan);
  CHECK(y.rate == 800);
  CHECK(y.time() == 160);
  for (long n = 0; n < 3; ++n) {
    CHECK(y.length(n) == 8 * x.length(n));
    const auto alone = istft_head(Sequence<Cpu>{slice(slice(x.frames, 0, n, n + 1), 1, 0, x.length(n)), {}, 100}, plan);
    const auto want = values_of(alone.samples), got = values_of(slice(y.samples, 0, n, n + 1));
    for (size_t i = 0; i < got.size(); ++i) CHECK(got[i] == (i < want.size() ? want[i] : 0));
  }
}

TEST_CASE("the number of threads changes no bit of a transform or its gradient", "[stft][threads]") {
  std::vector<std::vector<float>> results;
  for (int threads : {1, 2, 3}) {
    Context<Cpu> ctx;
    ctx.threads(threads);
    ctx.train();
    const auto x = noise(ctx, 2, 30000);
    const StftConfig config{.n_fft = 512, .hop = 100};
    const auto spectrum = stft(x.samples, config);
    const auto y = istft(spectrum, config);
    const auto g = ctx.backward(sum(y * y) + sum(spectrogram(x.samples, config)));
    auto all = values_of(y);
    for (float v : values_of(ctx, g[x.samples])) all.push_back(v);
    for (float v : values_of(spectrum)) all.push_back(v);
    results.push_back(std::move(all));
  }
  CHECK(results[0] == results[1]);
  CHECK(results[0] == results[2]);
}

TEST_CASE("the inverse of a transform is the signal", "[stft]") {
  Context<Reference64> ctx;
  const auto x = noise(ctx, 2, 1001);
  for (const StftConfig& config :
       {StftConfig{.n_fft = 128, .hop = 32}, StftConfig{.n_fft = 90, .hop = 20, .window_length = 60},
        StftConfig{.n_fft = 63, .hop = 7, .scale = StftConfig::Scale::window}}) {
    const auto y = istft(stft(x.samples, config), config, 960);
    const auto want = values_of(x.samples), got = values_of(y);
    double error = 0;
    for (long n = 0; n < 2; ++n)
      for (long i = 0; i < 960; ++i)
        error =
            std::max(error, std::fabs(got[static_cast<size_t>(n * 960 + i)] - want[static_cast<size_t>(n * 1001 + i)]));
    CHECK(error < 1e-13);
  }
}

TEST_CASE("signals shorter than a window, of one sample, and of none have defined frames", "[stft]") {
  Context<Cpu> ctx;
  const StftConfig centred{.n_fft = 64, .hop = 16}, plain{.n_fft = 64, .hop = 16, .centre = false};
  CHECK(stft(noise(ctx, 1, 10).samples, centred).extent(1) == 1);
  CHECK(stft(noise(ctx, 1, 1).samples, centred).extent(1) == 1);
  CHECK(stft(noise(ctx, 1, 0).samples, centred).extent(1) == 0);
  CHECK(stft(noise(ctx, 0, 100).samples, centred).extent(0) == 0);
  CHECK(stft(noise(ctx, 1, 63).samples, plain).extent(1) == 0);
  CHECK(stft(noise(ctx, 1, 64).samples, plain).extent(1) == 1);
  CHECK(istft(stft(noise(ctx, 1, 0).samples, centred), centred).extent(1) == 0);
  for (float v : values_of(stft(noise(ctx, 1, 5).samples, centred))) CHECK(std::isfinite(v));
}

TEST_CASE("options and shapes that do not fit are refused in a sentence", "[stft]") {
  Context<Cpu> ctx;
  const auto x = noise(ctx, 2, 100);
  CHECK_THROWS_AS(stft(x.samples, StftConfig{.n_fft = 0}), ConfigError);
  CHECK_THROWS_AS(stft(x.samples, StftConfig{.n_fft = 16, .hop = 0}), ConfigError);
  CHECK_THROWS_AS(stft(x.samples, StftConfig{.n_fft = 16, .window_length = 20}), ConfigError);
  // Without centring, a Hann window leaves the first sample without weight.
  const StftConfig plain{.n_fft = 16, .hop = 4, .centre = false};
  CHECK_THROWS_AS(istft(stft(x.samples, plain), plain), ConfigError);
  const StftConfig gaps{.n_fft = 16, .hop = 20};
  CHECK_THROWS_AS(istft(stft(x.samples, gaps), gaps), ConfigError);
  CHECK_THROWS_AS(istft(stft(x.samples, plain), StftConfig{.n_fft = 32, .hop = 4}), ShapeError);
  auto wrong = x;
  wrong.lengths = lengths_of(ctx, std::vector{100L, 101L});
  CHECK_THROWS_AS(pad_signal(wrong, 1, 1, Edge::zero, 102), ShapeError);
}
