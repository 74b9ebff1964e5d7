// Discriminators as published, and losses that share a gradient.
#include <cmath>

#include "catch.hpp"
#include "phonaut/core/param.hpp"
#include "phonaut/core/visit.hpp"
#include "phonaut/losses/adversarial.hpp"
#include "phonaut/losses/balancer.hpp"
#include "phonaut/losses/discriminators/multi_band.hpp"
#include "phonaut/losses/discriminators/period.hpp"
#include "phonaut/losses/discriminators/scale.hpp"
#include "phonaut/losses/discriminators/stft.hpp"
#include "phonaut/losses/regression.hpp"
#include "phonaut/training/parameters.hpp"

using namespace phonaut;

namespace {

Waveform<Cpu> noise(Context<Cpu>& ctx, long batch, long samples) {
  return {input(ctx, Shape<2>{batch, samples}, draw(ctx, batch * samples, Init::normal(0.1))), {}, 16000};
}

/// Each waveform is judged alone as in the batch.
template <class Model>
void check_batch(Context<Cpu>& ctx, const Model& model, long samples) {
  const auto x = noise(ctx, 3, samples);
  const auto all = model(x);
  for (long n = 0; n < 3; ++n) {
    const auto one = model(Waveform<Cpu>{slice(x.samples, 0, n, n + 1), {}, x.rate});
    REQUIRE(one.maps.size() == all.maps.size());
    for (size_t i = 0; i < one.maps.size(); ++i) {
      const auto part = values_of(packed(slice(all.maps[i], 0, n, n + 1))), alone = values_of(one.maps[i]);
      REQUIRE(part.size() == alone.size());
      // The products of a layer are the same sums in blocks of another size.
      for (size_t k = 0; k < part.size(); ++k) CHECK(part[k] == Approx(alone[k]).epsilon(1e-4).margin(1e-5));
    }
  }
}

}  // namespace

TEST_CASE("discriminators have the published sizes", "[losses]") {
  Context<Cpu> ctx;
  // Weights, biases and a gain for each output channel, by the tables of the papers.
  const auto conv = [](long in, long out, long taps) { return out * (in * taps + 2); };
  CHECK(parameter_count(PeriodDiscriminator<Cpu>(ctx, {.period = 3})) == conv(1, 32, 5) + conv(32, 128, 5) +
                                                                             conv(128, 512, 5) + conv(512, 1024, 5) +
                                                                             conv(1024, 1024, 5) + conv(1024, 1, 3));
  CHECK(parameter_count(ScaleDiscriminator<Cpu>(ctx, {})) ==
        conv(1, 128, 15) + conv(32, 128, 41) + conv(8, 256, 41) + conv(16, 512, 41) + conv(32, 1024, 41) +
            conv(64, 1024, 41) + conv(1024, 1024, 5) + conv(1024, 1, 3));
  CHECK(parameter_count(StftDiscriminator<Cpu>(ctx, {})) ==  // the first layer has no gain
        conv(2, 32, 27) - 32 + 3 * conv(32, 32, 27) + conv(32, 32, 9) + conv(32, 1, 9));
  CHECK(parameter_count(MultiBandDiscriminator<Cpu>(ctx, {})) ==
        5 * (conv(2, 32, 27) + 3 * conv(32, 32, 27) + conv(32, 32, 9)) + conv(32, 1, 9));
  CHECK(hifi_gan_periods<Cpu>().size() == 5);
  CHECK(hifi_gan_scales<Cpu>().back().halvings == 2);
  CHECK(hifi_gan_scales<Cpu>().front().spectral);
  CHECK(encodec_resolutions<Cpu>().front().stft.n_fft == 2048);
  CHECK(univnet_resolutions<Cpu>().size() == 3);
  CHECK(dac_resolutions<Cpu>().back().window == 512);
}

TEST_CASE("discriminators judge a batch as its waveforms", "[losses]") {
  Context<Cpu> ctx;
  check_batch(ctx, PeriodDiscriminator<Cpu>(ctx, {.period = 5, .channels = {8, 16}}), 203);
  check_batch(ctx, ScaleDiscriminator<Cpu>(ctx, {.layers = {{8, 15}, {16, 41, 4, 4}}, .halvings = 1}), 301);
  check_batch(ctx, StftDiscriminator<Cpu>(ctx, {.stft = {.n_fft = 64, .hop = 16, .centre = false}, .channels = 4}),
              310);
  check_batch(ctx, MultiBandDiscriminator<Cpu>(ctx, {.window = 128, .channels = 4}), 333);
}

TEST_CASE("a spectrally normalised weight has norm 1, while it is trained too", "[losses]") {
  Context<Cpu> ctx(Cpu{}, 3);
  const ScaleDiscriminator<Cpu> model(ctx, {.layers = {{8, 15}, {16, 41, 4, 4}}, .spectral = true});
  REQUIRE(model.norms.size() == 3);
  CHECK(parameter_count(model) == 8 * 16 + 16 * (41 * 2 + 1) + 16 * 3 + 1);  // no gains; u and v are not trained
  // The largest stretch of any direction, by power iteration in double from all directions at once.
  const auto stretch = [&](size_t layer) {
    const auto w = values_of(model.norms[layer](ctx, model.layers[layer].weight));
    const size_t rows = static_cast<size_t>(model.layers[layer].weight.extent(0)), width = w.size() / rows;
    std::vector<double> x(width, 1.0), y(rows);
    double length = 0;
    for (int round = 0; round < 2000; ++round) {
      for (size_t r = 0; r < rows; ++r) {
        y[r] = 0;
        for (size_t c = 0; c < width; ++c) y[r] += static_cast<double>(w[r * width + c]) * x[c];
      }
      double square = 0;
      for (size_t c = 0; c < width; ++c) {
        x[c] = 0;
        for (size_t r = 0; r < rows; ++r) x[c] += static_cast<double>(w[r * width + c]) * y[r];
        square += x[c] * x[c];
      }
      for (double& v : x) v /= std::sqrt(square);
      length = std::sqrt(std::sqrt(square));
    }
    return length;
  };
  ctx.infer();
  // Fifteen rounds at the start leave a few percent where the two largest values are close.
  for (size_t i = 0; i < 3; ++i) CHECK(stretch(i) == Approx(1).epsilon(0.05));
  const auto x = noise(ctx, 1, 200);
  const auto before = values_of(ctx.constant(model.norms[1].u.tensor()));
  (void)model(x);
  CHECK(values_of(ctx.constant(model.norms[1].u.tensor())) == before);  // inference changes nothing
  ctx.train();
  for (int i = 0; i < 200; ++i) (void)model(x);
  ctx.clear();
  ctx.infer();
  for (size_t i = 0; i < 3; ++i) CHECK(stretch(i) == Approx(1).epsilon(1e-4));

  // Two calls in one step, real and fake: each backward uses the vectors of its own forward.
  ctx.train();
  const auto y = noise(ctx, 1, 200);
  const auto gradients = ctx.backward(mean(square(model(x).score)) + mean(square(model(y).score)));
  for_each_param(model, [&](const std::string& name, const auto& p) {
    INFO(name);
    REQUIRE(gradients.has(p));
  });
}

TEST_CASE("the maps of the multi-band discriminator have one row for each hop", "[losses]") {
  Context<Cpu> ctx;
  const MultiBandDiscriminator<Cpu> model(ctx, {.window = 128, .channels = 4});
  for (const long samples : {1L, 32L, 33L, 320L})
    CHECK(model(noise(ctx, 1, samples)).score.extent(1) == (samples + 31) / 32);
}

TEST_CASE("several discriminators answer in lists that the adversarial losses take", "[losses]") {
  Context<Cpu> ctx;
  ctx.train();
  using Config = PeriodDiscriminator<Cpu>::Config;
  const Discriminators<Cpu, PeriodDiscriminator<Cpu>> model(
      ctx, std::vector<Config>{{.period = 2, .channels = {4}}, {.period = 3, .channels = {4}}});
  const auto [real, real_maps] = model(noise(ctx, 2, 40));
  const auto [fake, fake_maps] = model(noise(ctx, 2, 40));
  CHECK(real.size() == 2);
  CHECK(real_maps.size() == 4);
  const auto loss = discriminator_loss(Adversary::least_squares, real, fake, false);
  CHECK(std::isfinite(item(loss)));
  const auto gradients = ctx.backward(loss);
  CHECK(gradients.has(model.all[1].layers[0].gain));
}

TEST_CASE("discriminators say what they cannot hear", "[losses]") {
  Context<Cpu> ctx;
  const PeriodDiscriminator<Cpu> period(ctx, {.channels = {4}});
  auto padded = noise(ctx, 2, 40);
  padded.lengths = lengths_of(ctx, std::vector<long>{40, 39});
  CHECK_THROWS_WITH(period(padded),
                    "period discriminator: utterance 1 has 39 of 40 samples; a discriminator needs waveforms of one "
                    "length");
  CHECK_THROWS_AS(period(noise(ctx, 1, 0)), ShapeError);
  CHECK_THROWS_AS(PeriodDiscriminator<Cpu>(ctx, {.period = 0}), ConfigError);
  CHECK_THROWS_AS(MultiBandDiscriminator<Cpu>(ctx, {.window = 30}), ConfigError);
  CHECK_THROWS_AS(MultiBandDiscriminator<Cpu>(ctx, {.window = 64, .edges = {0, 0.01, 1}}), ConfigError);
  CHECK_THROWS_AS(Conv2d<Cpu>(ctx, {.in = 0, .out = 1}), ConfigError);
}

TEST_CASE("balanced losses have their shares of the gradient, whatever their scales", "[losses]") {
  Context<Cpu> ctx;
  LossBalancer<Cpu, 2> balancer(ctx, {{"small", 1}, {"large", 3}}, {.total = 2, .keep = 0.9});
  auto& inside = balancer.context();
  const auto goal = [&](double value) {
    return inside.constant(inside.full(Shape<2>{4, 5}, static_cast<float>(value)));
  };
  for (int step = 0; step < 3; ++step) {
    ctx.train();
    const auto y = ctx.variable(input(ctx, Shape<2>{4, 5}, draw(ctx, 20, Init::normal(1))).tensor());
    const auto loss = balancer(
        y, {[&](const auto& x) { return 1e-4f * mse_loss(x, goal(1)); }, [&](const auto& x) { return 1e3f * sum(x); }});
    // Each gradient over the moving average of its norm, times its share of the whole.
    CHECK(item(loss) == Approx(0.25 * balancer.values()[0] + 0.75 * balancer.values()[1]).epsilon(1e-5));
    const auto gradients = ctx.backward(loss);
    const auto g = values_of(ctx, gradients[y]);
    if (step > 0) continue;
    const auto numbers = values_of(y);
    double norm = 0;
    for (const float v : numbers) norm += std::pow(static_cast<double>(v) - 1, 2);
    for (size_t i = 0; i < g.size(); ++i)
      CHECK(g[i] ==
            Approx(2 * (0.25 * (static_cast<double>(numbers[i]) - 1) / std::sqrt(norm) + 0.75 / std::sqrt(20.0)))
                .epsilon(1e-4));
  }
  CHECK(ctx.recorded_ops() == 0);
  CHECK_THROWS_AS(balancer(input(ctx, Shape<2>{1, 1}, std::vector{1.0}), {}), ShapeError);
  CHECK_THROWS_AS((LossBalancer<Cpu, 2>(ctx, {{"none", 0}})), ConfigError);
}
