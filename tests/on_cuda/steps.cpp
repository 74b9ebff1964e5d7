// Training steps of whole models, captured and by themselves: nothing in a forward and a backward waits for the GPU, so
// that a graph repeats what the same calls compute, bit for bit.
#include <algorithm>
#include <cmath>
#include <functional>
#include <optional>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "catch.hpp"
#include "graph_support.hpp"
#include "numbers.hpp"
#include "phonaut/core/cuda_graph.hpp"
#include "phonaut/core/cuda_stream.hpp"
#include "phonaut/encoders/zipformer/zipformer_encoder.hpp"
#include "phonaut/losses/contrastive.hpp"
#include "phonaut/losses/regression.hpp"
#include "phonaut/losses/sigreg.hpp"
#include "phonaut/losses/sliced_wasserstein.hpp"
#include "phonaut/quantizers/factorised_rvq.hpp"
#include "phonaut/quantizers/fsq.hpp"
#include "phonaut/quantizers/rvq.hpp"
#include "phonaut/training/adamw.hpp"
#include "phonaut/training/trainer.hpp"
#include "small_zipformer.hpp"
#ifdef PHONAUT_EMULATE_GPU
#include "emulator.hpp"
#include "libraries.hpp"
#endif

using namespace phonaut;
using testing::Neighbours;
using testing::no_gpu;
using testing::numbers;
using testing::tensor;

namespace {

/// The published rules of gradients in every step, and nothing left out by chance.
ZipformerTraining repeatable() {
  ZipformerTraining t = ZipformerTraining::published();
  t.schedules_at = 1000;
  t.dropout = t.attention_skip = t.conv_skip = t.feed_forward2_skip = t.feed_forward3_skip = 0;
  t.even_attention = t.position_skip = t.position_dropout = t.stem_skip = 0;
  t.feature_mask = t.layer_skip_first = t.layer_skip_last = 0;
  t.whitening = t.score_penalty = t.limits = 1;
  t.balancer_probability = 1;
  return t;
}

ZipformerEncoder<Cuda>::Config encoder_config(const ZipformerTraining& training) {
  return {.encoder = testing::small_zipformer(training, 1), .features = 9, .channels = {2, 3, 4}};
}

constexpr Shape<3> features_shape{3, 27, 9};
const std::vector<long> feature_lengths{27, 20, 25};

template <class Model>
std::vector<float> gradients_of(Context<Cuda>& ctx, const Model& model, const Gradients<Cuda>& gradients) {
  std::vector<float> all;
  for_each_param(model, [&](const std::string&, const auto& p) {
    if (!gradients.has(p)) return;
    const auto values = values_of(ctx, gradients[p]);
    all.insert(all.end(), values.begin(), values.end());
  });
  return all;
}
template <class Model>
std::vector<float> states_of(Context<Cuda>& ctx, const Model& model) {
  std::vector<float> all;
  for_each_weight(model, [&](const std::string&, const auto& w) {
    if constexpr (std::is_same_v<std::remove_cvref_t<decltype(*w.tensor().data())>, float>) {
      const auto values = values_of(ctx, w.tensor());
      all.insert(all.end(), values.begin(), values.end());
    }
  });
  return all;
}

Var<Cuda, 2> rows(const Var<Cuda, 3>& x) { return reshape(x, Shape<2>{x.extent(0) * x.extent(1), x.extent(2)}); }

}  // namespace

TEST_CASE("a graph repeats a training step of a Zipformer with whitening, balancers and SIGReg", "[graph]") {
  if (no_gpu()) return;
  const CudaStream stream;
  std::vector<std::vector<float>> found;
  // Whitening everywhere, here and there, and nowhere.
  for (const double limit : {1.01, 3.0, 1e9}) {
    INFO("whitening from " << limit << " on");
    ZipformerTraining recipe = repeatable();
    recipe.whitening_limit = limit;
    Context<Cuda> ctx(stream.backend(), 7), eager(stream.backend(), 7);
    const ZipformerEncoder<Cuda> model(ctx, encoder_config(recipe)), twin(eager, encoder_config(recipe));
    ctx.train();
    eager.train();
    const auto slices = random_slices(eager, model.encoder.config.width(), 32);
    const auto x = tensor(ctx, features_shape, 1);
    const auto loss_of = [&](Context<Cuda>& c, const ZipformerEncoder<Cuda>& m) {
      const Sequence<Cuda> y = m(sequence_of(c.constant(x), feature_lengths, 100));
      return mean(y.frames * y.frames) + 0.1f * sigreg(valid_frames(y), slices);
    };
    Var<Cuda, 0> loss;
    Gradients<Cuda> gradients;
    const auto graph = CudaGraph::capture(ctx, [&] {
      loss = loss_of(ctx, model);
      gradients = ctx.backward(loss);
    });
    for (unsigned step = 0; step < 3; ++step) {
      refill(ctx, x, numbers(x.size(), 10 + step));
      const Neighbours before(ctx);
      graph.launch();
      CHECK(before.unharmed());
      const Neighbours after(ctx);
      const auto want = loss_of(eager, twin);
      const auto slopes = eager.backward(want);
      CHECK(item(loss) == item(want));
      const auto got = gradients_of(ctx, model, gradients);
      CHECK(got == gradients_of(eager, twin, slopes));
      CHECK(std::all_of(got.begin(), got.end(), [](float g) { return std::isfinite(g); }));
      if (step == 2) found.push_back(got);
    }
  }
  CHECK(found[0] != found[1]);
  CHECK(found[1] != found[2]);
}

TEST_CASE("whitening on Cuda decides and adds as the formulas in double do", "[rules]") {
  if (no_gpu()) return;
  struct Setting {
    Shape<3> shape;
    WhitenOptions options;
    std::vector<long> lengths;
  };
  for (const Setting& s : std::vector<Setting>{{{2, 20, 8}, {.scale = 0.05}, {}},
                                               {{2, 20, 12}, {.groups = 3}, {}},
                                               {{3, 9, 20}, {.scale = 0.1}, {9, 0, 4}},
                                               {{2, 15, 30}, {.groups = 2, .first = 7, .channels = 16}, {15, 6}},
                                               {{4, 90, 40}, {.groups = 4}, {90, 31, 90, 1}}}) {
    INFO(text(s.shape) << " in " << s.options.groups << " groups");
    auto x = numbers(element_count(s.shape), 3);
    for (size_t i = 0; i < x.size(); ++i)  // channels of unlike size, far from 0, that share a direction
      x[i] = static_cast<float>(1 + i % 5) * (x[i] + x[i / 10 * 10]) + static_cast<float>(i % 7);
    const auto dy = numbers(element_count(s.shape), 4);
    const auto gradient = [&](auto& ctx, const WhitenOptions& options) {
      ctx.set_recording(true);
      const auto v = ctx.variable(input(ctx, s.shape, x).tensor());
      const auto y = whiten(v, options, s.lengths.empty() ? Lengths() : lengths_of(ctx, s.lengths));
      const auto values = values_of(ctx, ctx.backward(sum(input(ctx, s.shape, dy) * y))[v]);
      return std::vector<float>(values.begin(), values.end());
    };
    Context<Cuda> ctx;
    Context<Reference64> exact;
    const double metric = whitening_metric(input(exact, s.shape, x), s.options,
                                           s.lengths.empty() ? Lengths() : lengths_of(exact, s.lengths));
    // Sums of up to 360 products in float.
    CHECK(whitening_metric(input(ctx, s.shape, x), s.options,
                           s.lengths.empty() ? Lengths() : lengths_of(ctx, s.lengths)) == Approx(metric).epsilon(1e-5));
    WhitenOptions near = s.options;
    near.limit = metric * (1 + 1e-4);
    CHECK(gradient(ctx, near) == dy);
    near.limit = metric * (1 - 1e-4);
    const auto got = gradient(ctx, near);
    CHECK(got != dy);
    CHECK(testing::relative_error(got, gradient(exact, near)) < 1e-6);
  }
}

TEST_CASE("a graph finds out in each launch whether there is something to whiten", "[graph]") {
  if (no_gpu()) return;
  const CudaStream stream;
  Context<Cuda> ctx(stream.backend(), 7), eager(stream.backend(), 7);
  ctx.train();
  eager.train();
  const Shape<3> shape{2, 20, 8};
  const auto x = tensor(ctx, shape, 1), weights = tensor(ctx, shape, 2);
  const auto dy = values_of(ctx, weights);
  const auto run = [&](Context<Cuda>& c, const Var<Cuda, 3>& v) {
    const auto y = whiten(v, {.limit = 3, .scale = 0.1, .groups = 2}, lengths_of(c, std::vector<long>{20, 13}));
    return c.backward(sum(c.constant(weights) * y));
  };
  Var<Cuda, 3> v;
  Gradients<Cuda> gradients;
  const auto graph = CudaGraph::capture(ctx, [&] {
    v = ctx.variable(x);
    gradients = run(ctx, v);
  });
  const auto even = numbers(x.size(), 5);
  auto along_one = even, constant = even;
  for (size_t i = 0; i < even.size(); ++i) {
    along_one[i] = even[i / 8 * 8] + 0.1f * even[i];
    constant[i] = static_cast<float>(i % 8);
  }
  struct Case {
    const std::vector<float>& values;
    bool above;
  };
  for (const Case& c : {Case{even, false}, {along_one, true}, {constant, false}, {along_one, true}, {even, false}}) {
    refill(ctx, x, c.values);
    graph.launch();
    const auto got = values_of(ctx, gradients[v]);
    const auto u = eager.variable(x);
    const auto slopes = run(eager, u);
    CHECK(got == values_of(eager, slopes[u]));
    CHECK((got == dy) == !c.above);
  }
}

TEST_CASE("a graph repeats a step of residual quantizers whose codebooks follow the data", "[graph]") {
  if (no_gpu()) return;
  const CudaStream stream;
  for (const bool padded : {false, true}) {
    ResidualQuantizer<Cuda>::Config config{.dims = 6, .levels = 2};
    config.codebook.entries = 5;
    config.codebook.kmeans_iterations = 3;
    Context<Cuda> ctx(stream.backend(), 7), eager(stream.backend(), 7);
    const ResidualQuantizer<Cuda> model(ctx, config), twin(eager, config);
    ctx.train();
    eager.train();
    const auto x = tensor(ctx, Shape<3>{2, 11, 6}, 1);
    const auto run = [&](Context<Cuda>& c, const ResidualQuantizer<Cuda>& m) {
      const auto frames = c.variable(x);
      const auto q = m(padded ? sequence_of(frames, std::vector<long>{11, 4}) : Sequence<Cuda>{frames, {}, 0});
      return std::pair{q, c.backward(q.loss + mean(q.quantized.frames * q.quantized.frames))[frames]};
    };
    // Each of the first steps sets a level by k-means, which reads the points. The third is the first run of a capture.
    for (long i = 0; i < config.levels; ++i) run(ctx, model);
    for (long i = 0; i < config.levels + 1; ++i) run(eager, twin);
    std::optional<std::pair<Quantized<Cuda>, Tensor<Cuda, 3>>> got;
    const auto graph = CudaGraph::capture(ctx, [&] { got = run(ctx, model); });
    for (unsigned step = 0; step < 3; ++step) {
      refill(ctx, x, numbers(x.size(), 10 + step));
      graph.launch();
      const auto want = run(eager, twin);
      CHECK(values_of(got->first.quantized.frames) == values_of(want.first.quantized.frames));
      CHECK(host_codes(ctx, got->first.codes) == host_codes(eager, want.first.codes));
      CHECK(values_of(ctx, got->second) == values_of(eager, want.second));
      CHECK(item(got->first.loss) == item(want.first.loss));
      CHECK(states_of(ctx, model) == states_of(eager, twin));
    }
  }
}

TEST_CASE("a graph repeats losses whose labels and tables follow from shapes and lengths", "[graph]") {
  if (no_gpu()) return;
  const CudaStream stream;
  Context<Cuda> ctx(stream.backend(), 7);
  ctx.train();
  const auto x = tensor(ctx, Shape<3>{2, 8, 6}, 1), y = tensor(ctx, Shape<3>{2, 8, 6}, 2);
  const auto w = make_param(ctx, Shape<3>{2, 6, 6}, Init::normal(0.5));
  const auto scale = make_param(ctx, Shape<0>{}, Init::constant(1));
  const auto negatives = sample_negatives(ctx, std::vector<long>{6, 6}, 3),
             choice = sample_negatives(ctx, std::vector<long>{8, 8}, 3);
  const auto slices = random_slices(ctx, 6, 8);
  const std::vector<std::function<Var<Cuda, 0>(const Var<Cuda, 3>&, const Var<Cuda, 3>&)>> losses{
      [&](const auto& a, const auto& b) { return cpc_loss(a, b, w, negatives, 0.2); },
      [&](const auto& a, const auto& b) { return ntxent_loss(rows(a), rows(b)); },
      [&](const auto& a, const auto& b) { return clip_loss(rows(a), rows(b), scale); },
      [&](const auto& a, const auto& b) { return wav2vec2_loss(rows(a), rows(b), choice); },
      [&](const auto& a, const auto&) { return sliced_wasserstein(rows(a), slices); },
      [&](const auto& a, const auto& b) {
        return mse_loss(sequence_of(a, std::vector<long>{8, 3}), sequence_of(b, std::vector<long>{8, 3}));
      }};
  for (size_t i = 0; i < losses.size(); ++i) {
    INFO("loss " << i);
    const auto run = [&] {
      const auto v = ctx.variable(x);
      const auto loss = losses[i](v, ctx.constant(y));
      return std::pair{loss, ctx.backward(loss)[v]};
    };
    std::optional<std::pair<Var<Cuda, 0>, Tensor<Cuda, 3>>> got;
    const auto graph = CudaGraph::capture(ctx, [&] { got = run(); });
    for (unsigned step = 0; step < 2; ++step) {
      refill(ctx, x, numbers(x.size(), 10 + step));
      refill(ctx, y, numbers(y.size(), 20 + step));
      graph.launch();
      const auto want = run();
      CHECK(item(got->first) == item(want.first));
      CHECK(values_of(ctx, got->second) == values_of(ctx, want.second));
    }
  }
}

#ifdef PHONAUT_EMULATE_GPU
TEST_CASE("nothing in a forward and a backward waits for the GPU", "[graph]") {
  Context<Cuda> ctx(Cuda{}, 7);
  ZipformerTraining recipe = ZipformerTraining::published();
  recipe.whitening = recipe.score_penalty = 1;
  const ZipformerEncoder<Cuda> model(ctx, encoder_config(recipe));
  const long width = model.encoder.config.width();
  ResidualQuantizer<Cuda>::Config books{.dims = width, .levels = 2};
  books.codebook.entries = 5;
  books.codebook.rule.revival = EmaRule::Revival::after;
  books.dropout = LevelDropout::per_item;
  const ResidualQuantizer<Cuda> rvq(ctx, books);
  parameter_count(rvq);  // who walks the weights might have written to them
  const FactorisedResidualQuantizer<Cuda> factorised(
      ctx, {.dims = width, .levels = 2, .entries = 5, .code_dims = 3, .dropout = LevelDropout::per_item});
  const FiniteScalarQuantizer<Cuda> fsq(ctx, {.levels = {3, 3, 3}, .groups = width / 3});
  const auto x = tensor(ctx, features_shape, 1);
  ctx.train();
  const auto loss_of = [&] {
    const Sequence<Cuda> y = model(sequence_of(ctx.constant(x), feature_lengths, 100));
    const auto q = rvq(y);
    const auto f = fsq(y).quantized.frames;
    const Var<Cuda, 2> rows_of_y = valid_frames(y), rows_of_q = valid_frames(q.quantized);
    std::vector<long> counts;
    for (long n = 0; n < y.batch(); ++n) counts.push_back(y.length(n));
    return sigreg(y, {.slices = 32}) + q.loss + factorised(y).loss + mean(f * f) + mse_loss(q.quantized, y) +
           ntxent_loss(rows_of_y, rows_of_q) +
           wav2vec2_loss(rows_of_y, rows_of_q, sample_negatives(ctx, counts, 2), 0.1, Reduction::mean);
  };
  for (int step = 0; step < 4; ++step) {
    const long before = emulator::libraries().waits;
    const auto loss = loss_of();
    Gradients<Cuda> gradients = ctx.backward(loss);
    // The codebooks are asked once whether their entries mean something.
    CHECK(emulator::libraries().waits - before == (step == 0 ? books.levels : 0));
    CHECK(std::isfinite(item(loss)));
    CHECK(emulator::libraries().waits - before == (step == 0 ? books.levels : 0) + 1);
  }
  // A step of training: for the loss, and for the norm of the gradients.
  Trainer<Cuda, AdamW<Cuda>> trainer(ctx, model, AdamW<Cuda>(ctx.backend(), model),
                                     {.rate = [](double) { return 1e-3; }});
  trainer.step(loss_of());
  for (int step = 0; step < 3; ++step) {
    const long before = emulator::libraries().waits;
    CHECK(trainer.step(loss_of()).updated);
    CHECK(emulator::libraries().waits - before == 2);
  }
}

TEST_CASE("a step of a Zipformer takes no more launches for more utterances", "[graph]") {
  const auto calls = [] {
    const auto& served = emulator::libraries();
    return emulator::launches() + served.products + served.convolutions;
  };
  const auto taken = [&](long batch) {
    Context<Cuda> ctx(Cuda{}, 7);
    ctx.train();
    const ZipformerEncoder<Cuda> model(ctx, encoder_config(repeatable()));
    std::vector<long> lengths;
    for (long n = 0; n < batch; ++n) lengths.push_back(27 - n);
    const auto x = tensor(ctx, Shape<3>{batch, 27, 9}, 1);
    const long before = calls();
    ctx.backward(sum(model(sequence_of(ctx.constant(x), lengths)).frames));
    return calls() - before;
  };
  const long of_few = taken(4);
  CHECK(of_few > 0);
  CHECK(taken(12) == of_few);
}
#endif
