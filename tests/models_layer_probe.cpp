// A mixture of layers finds the layer that knows, and refuses layers that are not of one kind.
#include <algorithm>
#include <cmath>

#include "catch.hpp"
#include "phonaut/losses/cross_entropy.hpp"
#include "phonaut/models/layer_probe.hpp"
#include "phonaut/testing/gradient_check.hpp"
#include "phonaut/testing/visit_check.hpp"
#include "phonaut/training/adamw.hpp"

using namespace phonaut;
using namespace phonaut::testing;

namespace {

/// Three layers of noise (N, T, 6), of which the second knows the class (0 … 2) of each utterance.
std::vector<Sequence<Cpu>> layers_of(Context<Cpu>& ctx, const std::vector<long>& classes, std::uint64_t seed) {
  const Shape<3> shape{static_cast<long>(classes.size()), 9, 6};
  const std::vector<long> lengths(classes.size(), 9);
  std::vector<Sequence<Cpu>> all;
  for (std::uint64_t layer = 0; layer < 3; ++layer) {
    auto values = normal(shape, 10 * seed + layer).data;
    for (size_t n = 0; layer == 1 && n < classes.size(); ++n)
      for (size_t t = 0; t < 9; ++t) values[(n * 9 + t) * 6 + static_cast<size_t>(classes[n])] += 1.5;
    all.push_back(sequence_of(input(ctx, shape, values), lengths, 50));
  }
  return all;
}
std::vector<long> some_classes(size_t count, std::uint64_t seed) {
  const Draws draws = Random{seed, 0}.take(static_cast<long>(count));
  std::vector<long> classes;
  for (size_t i = 0; i < count; ++i) classes.push_back(draws.below(3, static_cast<long>(i)));
  return classes;
}

}  // namespace

TEST_CASE("a probe of layers learns which of them knows", "[models]") {
  Context<Cpu> ctx(Cpu{}, 3);
  LayerProbe<Cpu> probe(ctx, {.layers = 3, .dim = 6, .classes = 3, .hidden = 8});
  AdamW<Cpu> optimiser(ctx.backend(), probe, {.weight_decay = 0});
  const auto classes = some_classes(60, 1), others = some_classes(60, 2);
  const auto layers = layers_of(ctx, classes, 1);
  ctx.train();
  for (int step = 0; step < 200; ++step) {
    const auto loss = cross_entropy(probe.utterances(layers), labels_of(ctx, classes));
    optimiser.step(ctx.backend(), ctx.backward(loss), 0.02);
  }
  ctx.infer();
  const auto share = values_of(softmax(ctx.lift(probe.mixture.weights)));
  CHECK(share[1] > 0.7f);  // equal shares at the start
  const auto logits = values_of(probe.utterances(layers_of(ctx, others, 2)));
  long right = 0;
  for (size_t n = 0; n < others.size(); ++n) {
    const auto row = logits.begin() + static_cast<long>(n) * 3;
    right += std::max_element(row, row + 3) - row == others[n];
  }
  CHECK(right > 55);
}

TEST_CASE("at the start layers count alike, and loud ones no more if they are normed", "[models]") {
  Context<Cpu> ctx;
  const Shape<3> shape{1, 2, 4};
  const auto x = normal(shape, 1).data;
  auto loud = x;
  for (double& v : loud) v *= 100;
  const std::vector<Sequence<Cpu>> layers = {{input(ctx, shape, x), {}, 0}, {input(ctx, shape, loud), {}, 0}};
  const auto plain = values_of(WeightedLayerSum<Cpu>(ctx, {.layers = 2})(layers).frames);
  const auto normed = values_of(WeightedLayerSum<Cpu>(ctx, {.layers = 2, .normed = true})(layers).frames);
  const auto norm = values_of(layer_norm(layers[1].frames));
  for (size_t i = 0; i < plain.size(); ++i) {
    CHECK(plain[i] == Approx(50.5 * x[i]).margin(1e-4));
    CHECK(normed[i] == Approx(norm[i]).margin(1e-4));  // the two are one after norming, but for epsilon
  }
}

TEST_CASE("heads for frames and for utterances are of one kind, padding aside", "[models]") {
  Context<Cpu> ctx;
  ctx.poison(true);
  for (const long hidden : {0L, 5L}) {
    const LayerProbe<Cpu> probe(ctx, {.layers = 3, .dim = 6, .classes = 3, .hidden = hidden, .relu = true});
    auto layers = layers_of(ctx, {0, 1}, 1);
    for (auto& x : layers) x.lengths = lengths_of(ctx, std::vector<long>{9, 4});
    const auto all = values_of(probe.utterances(layers));
    const auto frames = probe.frames(layers);
    CHECK(frames.frames.shape() == Shape<3>{2, 9, 3});
    CHECK(frames.length(1) == 4);
    std::vector<Sequence<Cpu>> alone;
    alone.reserve(layers.size());
    for (const auto& x : layers) alone.push_back({slice(slice(x.frames, 0, 1, 2), 1, 0, 4), {}, 50});
    const auto one = values_of(probe.utterances(alone));
    for (size_t c = 0; c < 3; ++c) CHECK(all[3 + c] == Approx(one[c]).epsilon(1e-5));
    // Maps are linear from the mixture on where nothing is cut off, so that the mean of logits is the logit of means.
    if (hidden > 0) continue;
    const auto rows = values_of(frames.frames);
    for (size_t c = 0; c < 3; ++c) {
      double mean = 0;
      for (size_t t = 0; t < 9; ++t) mean += static_cast<double>(rows[t * 3 + c]) / 9;
      CHECK(all[c] == Approx(mean).margin(1e-5));
    }
  }
}

TEST_CASE("layers that do not fit are refused, and visit names every weight", "[models]") {
  using R = Reference;
  CHECK(visit_problem<R>([](auto& ctx) {
          return LayerProbe<R>(ctx, {.layers = 3, .dim = 6, .classes = 3, .hidden = 4});
        }).empty());
  CHECK(visit_problem<R>([](auto& ctx) {
          return LayerProbe<R>(ctx, {.layers = 3, .dim = 6, .classes = 3, .hidden = 0});
        }).empty());
  Context<Cpu> ctx;
  const WeightedLayerSum<Cpu> mixture(ctx, {.layers = 3});
  auto layers = layers_of(ctx, {0, 1}, 1);
  CHECK_NOTHROW(mixture(layers));
  layers[2].lengths = lengths_of(ctx, std::vector<long>{9, 8});
  CHECK_THROWS_WITH(mixture(layers), "weighted layer sum: utterance 1 has 9 frames in one layer, but 8 in another");
  layers[2] = {slice(layers[2].frames, 1, 0, 8), {}, 50};
  CHECK_THROWS_AS(mixture(layers), ShapeError);
  layers.pop_back();
  CHECK_THROWS_AS(mixture(layers), ShapeError);
  CHECK_THROWS_AS(WeightedLayerSum<Cpu>(ctx, {}), ConfigError);
  CHECK_THROWS_AS(weighted_sum(std::vector<Var<Cpu, 1>>{}, ctx.constant(ctx.zeros(Shape<1>{0}))), ShapeError);
}
