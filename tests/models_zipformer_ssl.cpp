// Laws of the waveform stem and of the self-supervised Zipformer: exact gradients, a batch equals its utterances,
// threads change no bit, published names and sizes, errors.
#include <cmath>
#include <map>
#include <memory>
#include <set>

#include "catch.hpp"
#include "io_support.hpp"
#include "phonaut/models/zipformer_ssl.hpp"
#include "phonaut/testing/gradient_check.hpp"
#include "phonaut/testing/visit_check.hpp"
#include "phonaut/training/checkpoint.hpp"

using namespace phonaut;
using namespace phonaut::testing;

namespace {

constexpr long kClasses = 7;

template <class B>
typename Wav2vec2Stem<B>::Config stem_config(typename Wav2vec2Stem<B>::Norm norm, Padding padding) {
  return {.layers = {{20, 4, 3}, {9, 3, 2}, {12, 2, 2}},
          .norm = norm,
          .bias = norm == Wav2vec2Stem<B>::Norm::every_over_channels,
          .sample_rate = 8000,
          .padding = padding};
}
template <class B>
typename ZipformerSsl<B>::Config model_config(Padding padding) {
  typename ZipformerSsl<B>::Config c{.classes = kClasses, .unmasked_weight = 0.5};
  c.stem = stem_config<B>(Wav2vec2Stem<B>::Norm::first_over_time, padding);
  c.encoder = {.stacks = {}, .output_downsample = 1, .padding = padding, .training = ZipformerTraining::off()};
  for (const auto& [dim, factor] : {std::pair{12L, 1L}, {20L, 2L}, {12L, 1L}})
    c.encoder.stacks.push_back({.dim = dim,
                                .layers = 2,
                                .heads = 2,
                                .feedforward = 16,
                                .kernel = 3,
                                .downsample = factor,
                                .query_head = 4,
                                .value_head = 3,
                                .pos_head = 2,
                                .pos_dim = 8});
  return c;
}
/// Weights that every backend sees alike; dual numbers get a slope for the weight called `along`.
template <class B>
void set_weights(Context<B>& ctx, auto& model, const std::string& along = "", const std::vector<double>& way = {}) {
  using S = typename B::Scalar;
  std::uint64_t seed = 100;
  for_each_param(model, [&](const std::string& name, auto& p) {
    const auto drawn = normal(Shape<1>{p.size()}, seed++, 0.3).data;
    std::vector<S> values(drawn.begin(), drawn.end());
    if constexpr (std::is_same_v<S, Dual>)
      for (size_t i = 0; name == along && i < values.size(); ++i) values[i].slope = way[i];
    assign(ctx.backend(), p.tensor(), values);
  });
}
template <class B>
Waveform<B> waves(const Var<B, 2>& x, const std::vector<long>& lengths) {
  return {x, lengths_of(x.context(), lengths), 8000};
}
std::vector<char> marks_for(long frames) {
  std::vector<char> marks(static_cast<size_t>(frames));
  for (size_t i = 0; i < marks.size(); ++i) marks[i] = i % 5 < 2;
  return marks;
}
std::vector<long> labels_for(long frames) {
  std::vector<long> labels(static_cast<size_t>(frames));
  for (size_t i = 0; i < labels.size(); ++i) labels[i] = static_cast<long>(3 * i) % kClasses;
  return labels;
}
template <class B>
Var<B, 0> loss_of(const ZipformerSsl<B>& model, const Waveform<B>& x) {
  const Sequence<B> features = model.feature_extractor(x);
  const long frames = features.batch() * features.time();
  return model.loss(features, model.predict(features, marks_for(frames)), labels_for(frames), marks_for(frames));
}
const Shape<2> kWaves{2, 150};
const std::vector<long> kLengths{150, 98};

/// The loss, its slope along a weight (dual numbers), and its gradients.
template <class B>
struct LossRun {
  double value = 0, slope = 0;
  std::map<std::string, std::vector<double>> gradients;

  LossRun(B backend, Padding padding, const std::string& along = "", const std::vector<double>& way = {}) {
    Context<B> ctx(backend);
    ctx.poison(true);
    ZipformerSsl<B> model(ctx, model_config<B>(padding));
    set_weights(ctx, model, along, way);
    constexpr bool dual = std::is_same_v<typename B::Scalar, Dual>;
    ctx.set_recording(!dual);
    const auto loss = loss_of(model, waves(input(ctx, kWaves, normal(kWaves, 5).data), kLengths));
    if constexpr (dual) {
      slope = item(loss).slope;
    } else {
      value = static_cast<double>(item(loss));
      const auto gradient = ctx.backward(loss);
      for_each_param(model, [&](const std::string& name, const auto& p) {
        auto& to = gradients[name];
        if (!gradient.has(p)) to.resize(static_cast<size_t>(p.size()), 0.0);
        else
          for (const auto g : values_of(ctx, gradient[p])) to.push_back(static_cast<double>(g));
      });
    }
  }
};

}  // namespace

TEST_CASE("gradients of the waveform stem are exact", "[ssl]") {
  for (const bool every : {false, true})
    for (const Padding padding : {Padding::masked, Padding::reference}) {
      INFO("layer norm " << every << ", reference " << (padding == Padding::reference));
      const auto call = [&]<class V>(const V& x) {
        using B = typename V::Backend;
        using Norm = typename Wav2vec2Stem<B>::Norm;
        static std::vector<std::shared_ptr<Wav2vec2Stem<B>>> kept;  // a tape knows parameters by their address
        kept.push_back(std::make_shared<Wav2vec2Stem<B>>(
            x.context(), stem_config<B>(every ? Norm::every_over_channels : Norm::first_over_time, padding)));
        set_weights(x.context(), *kept.back());
        return (*kept.back())(waves(x, kLengths)).frames;
      };
      const auto in = std::tuple{normal(kWaves, 5)};
      CHECK(compare(Reference64{}, call, in).worst_gradient() <= 1e-12);
      for (const Isa isa : {Isa::baseline, best_isa()}) {
        // Three layers deep, each with some roundings of sums of tens of terms.
        const Comparison found = compare(Cpu{{}, 2, isa}, call, in);
        CHECK(found.value <= 1e-5);
        CHECK(found.worst_gradient() <= 5e-5);
      }
    }
}

TEST_CASE("gradients of the self-supervised Zipformer are exact", "[ssl]") {
  for (const Padding padding : {Padding::masked, Padding::reference}) {
    const LossRun<Reference64> exact(Reference64{}, padding);
    const LossRun<Cpu> best(Cpu{{}, 2, best_isa()}, padding);
    CHECK(best.value == Approx(exact.value).epsilon(1e-5));
    // One direction for each weight outside of the layers of the encoder, whose gradients tests/zipformer.cpp checks.
    std::uint64_t seed = 300;
    long checked = 0;
    for (const auto& [name, gradient] : exact.gradients) {
      if (name.starts_with("encoder.encoders.") && name.find("layers.0.feed_forward1") == std::string::npos) continue;
      INFO(name);
      const auto way = normal(Shape<1>{static_cast<long>(gradient.size())}, seed++).data;
      double got = 0, in_float = 0, square = 0;
      for (size_t i = 0; i < way.size(); ++i) {
        got += gradient[i] * way[i];
        in_float += best.gradients.at(name)[i] * way[i];
        square += gradient[i] * gradient[i];
      }
      const double want = LossRun<ReferenceOf<Dual>>(ReferenceOf<Dual>{}, padding, name, way).slope;
      const double length = std::sqrt(square);
      CHECK((length > 0 || name == "encoder.downsample_output.bias"));  // which has one element, and a softmax of one
      CHECK(std::fabs(got - want) <= 1e-10 * length);
      CHECK(std::fabs(in_float - want) <= 1e-3 * length);  // float, eight layers and a temperature of 0.1 deep
      ++checked;
    }
    CHECK(checked > 20);
  }
}

TEST_CASE("a batch of the self-supervised Zipformer equals its utterances", "[ssl]") {
  using R = Reference64;
  Context<R> ctx;
  ZipformerSsl<R> model(ctx, model_config<R>(Padding::masked));
  set_weights(ctx, model);
  auto padded = normal(kWaves, 5).data;
  const std::vector<double> second(padded.begin() + 150, padded.begin() + 248);
  std::fill(padded.begin() + 248, padded.end(), 1e3);
  const auto together = waves(input(ctx, kWaves, padded), kLengths);
  const Waveform<R> alone{input(ctx, Shape<2>{1, 98}, second), {}, 8000};
  const std::vector<ZipformerPick> picks{{}, {.stack = 0}, {.stack = 1}, {.stack = 1, .layer = 0}};
  auto in_batch = model.encode(together, picks), single = model.encode(alone, picks);
  in_batch.push_back(model(together)), single.push_back(model(alone));
  for (size_t k = 0; k < in_batch.size(); ++k) {
    INFO("pick " << k);
    const auto &a = in_batch[k], &b = single[k];
    REQUIRE(a.length(1) == b.time());
    CHECK(a.rate == b.rate);
    const auto va = values_of(a.frames), vb = values_of(b.frames);
    for (size_t i = 0; i < vb.size(); ++i)
      REQUIRE(va[static_cast<size_t>(a.time() * a.channels()) + i] == Approx(vb[i]).epsilon(1e-11).margin(1e-11));
  }
  // The picked end is what the call gives, at the stem's rate.
  CHECK(values_of(in_batch[0].frames) == values_of(in_batch.back().frames));
  CHECK(in_batch[0].time() == model.feature_extractor.frames(150));
  CHECK(in_batch[0].rate == model.feature_extractor.frame_rate());
  CHECK(in_batch[3].length(1) == (in_batch[0].length(1) + 1) / 2);

  SECTION("the published padding leaks, and keeps the lengths") {
    ZipformerSsl<R> leaking(ctx, model_config<R>(Padding::reference));
    set_weights(ctx, leaking);
    const auto found = leaking.encode(together, picks);
    for (size_t k = 0; k < picks.size(); ++k)
      for (long n = 0; n < 2; ++n) CHECK(found[k].length(n) == in_batch[k].length(n));
    const auto leaked = values_of(found[0].frames), exact = values_of(in_batch[0].frames);
    const long first = found[0].time() * found[0].channels();
    CHECK(leaked[0] == Approx(exact[0]));
    CHECK(leaked[static_cast<size_t>(first)] != Approx(exact[static_cast<size_t>(first)]));
  }
}

TEST_CASE("threads do not change a bit of the self-supervised Zipformer", "[ssl][threads]") {
  Context<Cpu> made;
  auto model = std::make_shared<ZipformerSsl<Cpu>>(made, model_config<Cpu>(Padding::masked));
  set_weights(made, *model);
  const auto run = [&](int threads) {
    Context<Cpu> ctx;
    ctx.threads(threads);
    ctx.set_recording(true);
    const Shape<2> shape{3, 4000};
    const auto loss = loss_of(*model, waves(input(ctx, shape, normal(shape, 2).data), {4000, 1234, 2500}));
    std::vector<std::vector<float>> all{{item(loss)}};
    const auto gradients = ctx.backward(loss);
    for_each_param(*model, [&](const std::string&, const auto& p) {
      if (gradients.has(p)) all.push_back(to_vector(gradients[p]));
    });
    return all;
  };
  const auto one = run(1);
  CHECK(std::isfinite(one[0][0]));
  CHECK(one.size() > 100);
  for (const int threads : {2, 3}) CHECK((run(threads) == one));
}

TEST_CASE("the self-supervised Zipformer has the published names and sizes", "[ssl]") {
  using R = Reference;
  CHECK(visit_problem<R>([](auto& ctx) {
          auto c = model_config<R>(Padding::masked);
          for (auto& stack : c.encoder.stacks) stack.layers = 1;  // further layers are copies that no context counts
          return ZipformerSsl<R>(ctx, c);
        }) == "");
  Context<R> ctx;
  const Wav2vec2Stem<R> stem(ctx, {});
  CHECK(stem.hop() == 320);
  CHECK(stem.window() == 400);
  CHECK(stem.frame_rate() == 50);
  for (const long samples : {0L, 399L, 400L, 719L, 720L, 16000L})
    CHECK(stem.frames(samples) == (samples < 400 ? 0 : (samples - 400) / 320 + 1));
  // 512 · (10 + 4 · 3 · 512 + 2 · 2 · 512) and the norm.
  CHECK(parameter_count(stem) == 512 * (10 + 12 * 512 + 4 * 512) + 2 * 512);
  const auto published = ZipformerSsl<R>::published_encoder();
  CHECK(published.output_downsample == 1);
  CHECK(published.width() == 512);

  const ZipformerSsl<R> model(ctx, model_config<R>(Padding::masked));
  std::map<std::string, std::vector<long>> shapes;
  for_each_param(model, [&](const std::string& name, const auto& p) {
    shapes[name] = {p.shape().begin(), p.shape().end()};
  });
  const std::map<std::string, std::vector<long>> want{{"feature_extractor.conv_layers.0.0.weight", {20, 4, 1}},
                                                      {"feature_extractor.conv_layers.0.2.weight", {20}},
                                                      {"feature_extractor.conv_layers.0.2.bias", {20}},
                                                      {"feature_extractor.conv_layers.1.0.weight", {9, 3, 20}},
                                                      {"feature_extractor.conv_layers.2.0.weight", {12, 2, 9}},
                                                      {"layer_norm.weight", {12}},
                                                      {"layer_norm.bias", {12}},
                                                      {"post_extract_proj.weight", {12, 12}},
                                                      {"post_extract_proj.bias", {12}},
                                                      {"mask_emb", {12}},
                                                      {"encoder.downsample_output.bias", {1}},
                                                      {"final_proj.weight", {kClasses, 20}},
                                                      {"final_proj.bias", {kClasses}}};
  for (const auto& [name, shape] : want) {
    INFO(name);
    CHECK(shapes[name] == shape);
  }
  for (const auto& [name, shape] : shapes) CHECK((want.count(name) == 1 || name.starts_with("encoder.encoders.")));
  for (const float v : to_vector(model.mask_emb.tensor())) CHECK((v >= 0 && v < 1));
}

TEST_CASE("an icefall checkpoint of the self-supervised Zipformer loads with its axes turned", "[ssl]") {
  using R = Reference;
  Context<R> ctx(R{}, 1), elsewhere(R{}, 2);
  ZipformerSsl<R> model(ctx, model_config<R>(Padding::masked)), loaded(elsewhere, model_config<R>(Padding::masked));
  // A file as icefall has it: convolutions as (out, in, taps).
  const TemporaryFolder folder;
  std::map<std::string, std::vector<float>> turned;
  std::vector<SafetensorsEntry> entries;
  for_each_param(model, [&](const std::string& name, const auto& p) {
    std::vector<float> values = to_vector(p.tensor());
    std::vector<long> shape(p.shape().begin(), p.shape().end());
    if (!icefall_ssl_axes(name).empty()) {
      const long taps = shape[1], in = shape[2];
      std::vector<float> other(values.size());
      for (long o = 0; o < shape[0]; ++o)
        for (long k = 0; k < taps; ++k)
          for (long i = 0; i < in; ++i)
            other[static_cast<size_t>((o * in + i) * taps + k)] = values[static_cast<size_t>((o * taps + k) * in + i)];
      values = other;
      std::swap(shape[1], shape[2]);
    }
    turned[name] = values;
    entries.push_back(safetensors_entry(name, shape, std::span<const float>(turned[name])));
  });
  write_safetensors(folder / "icefall.safetensors", entries, {});
  load(folder / "icefall.safetensors", loaded, {.axes = icefall_ssl_axes});
  std::vector<std::vector<float>> want, got;
  for_each_param(model, [&](const std::string&, const auto& p) { want.push_back(to_vector(p.tensor())); });
  for_each_param(loaded, [&](const std::string&, const auto& p) { got.push_back(to_vector(p.tensor())); });
  CHECK((want == got));
}

TEST_CASE("the self-supervised Zipformer says what does not fit", "[ssl]") {
  using R = Reference;
  Context<R> ctx;
  const auto wave = [&](long samples, double rate = 8000) {
    return Waveform<R>{ctx.constant(ctx.zeros(Shape<2>{1, samples})), {}, rate};
  };
  CHECK_THROWS_WITH(Wav2vec2Stem<R>(ctx, {})(wave(399, 16000)),
                    "wav2vec2_stem: 399 samples are fewer than the 400 that make one frame");
  CHECK_THROWS_AS(Wav2vec2Stem<R>(ctx, {})(wave(8000)), ConfigError);
  CHECK_THROWS_WITH(Wav2vec2Stem<R>(ctx, {.layers = {}}), "wav2vec2_stem: a stem needs at least one convolution");
  CHECK_THROWS_AS(Wav2vec2Stem<R>(ctx, {.layers = {{0, 2, 2}}}), ConfigError);
  const auto with = [&](auto change) {
    auto c = model_config<R>(Padding::masked);
    change(c);
    return ZipformerSsl<R>(ctx, c);
  };
  CHECK_THROWS_WITH(with([](auto& c) { c.encoder.output_downsample = 2; }),
                    "zipformer_ssl: every frame of the stem is predicted, but the encoder leaves one of 2");
  CHECK_THROWS_AS(with([](auto& c) { c.encoder.stacks.clear(); }), ConfigError);
  CHECK_THROWS_AS(with([](auto& c) { c.temperature = 0; }), ConfigError);
  CHECK_THROWS_AS(with([](auto& c) { c.classes = 0; }), ConfigError);

  const auto model = with([](auto&) {});
  const auto features = model.feature_extractor(wave(150));
  const long frames = features.time();
  CHECK_THROWS_AS(model.predict(features, marks_for(frames + 1)), ShapeError);
  const auto logits = model.predict(features, marks_for(frames));
  CHECK_THROWS_WITH(model.loss(features, logits, labels_for(frames - 1), marks_for(frames)),
                    concat("masked_cross_entropy: frames ", text(logits.frames.shape()), " are ", frames,
                           ", but there are ", frames - 1, " labels"));
  CHECK_THROWS_AS(model.loss(features, logits, labels_for(frames), marks_for(frames + 2)), ShapeError);
  CHECK_THROWS_AS(
      model.loss(features, logits, std::vector<long>(static_cast<size_t>(frames), kClasses), marks_for(frames)),
      ShapeError);
}

TEST_CASE("hits are counted among hidden and other frames that have a label", "[ssl][losses]") {
  Context<Reference> ctx;
  // Two utterances of 3 and 2 frames; the greatest logit is that of class t % 2.
  const std::vector<float> values{1, 0, 0, 1, 1, 0, 1, 0, 0, 1, 1, 0};
  const auto logits = sequence_of(input(ctx, Shape<3>{2, 3, 2}, values), std::vector<long>{3, 2});
  const std::vector<long> labels{0, 0, 0, -1, 1, 0};
  const std::vector<char> marks{1, 1, 0, 1, 0, 1};
  LabelHits hits = label_hits(logits, labels, marks);
  CHECK((hits.masked == 2 && hits.masked_right == 1));
  CHECK((hits.unmasked == 2 && hits.unmasked_right == 2));
  CHECK(hits.masked_share() == 0.5);
  CHECK(LabelHits{}.masked_share() == 0);
  hits += hits;
  CHECK((hits.masked == 4 && hits.unmasked_share() == 1));
  CHECK_THROWS_WITH(label_hits(logits, labels, std::vector<char>(5)),
                    "label_hits: frames (2, 3, 2) are 6, but there are 5 marks");
}

TEST_CASE("labels are read at another rate", "[ssl][losses]") {
  const std::vector<std::int32_t> labels{0, 1, 2, 3, 4, 5, 6};
  CHECK(labels_at_rate(labels, 100, 50, 5) == std::vector<long>{0, 2, 4, 6, -1});
  CHECK(labels_at_rate(labels, 50, 100, 6) == std::vector<long>{0, 0, 1, 1, 2, 2});
  CHECK(labels_at_rate(labels, 50, 50, 3) == std::vector<long>{0, 1, 2});
  // 49.95 Hz frames: floor(t · 100 / 49.95).
  CHECK(labels_at_rate(labels, 100, 49.95, 4) == std::vector<long>{0, 2, 4, 6});
  // 3 frames of a third each are one label, though 3 · (1 / 3) is not exact.
  CHECK(labels_at_rate(labels, 1, 3, 7) == std::vector<long>{0, 0, 0, 1, 1, 1, 2});
  CHECK_THROWS_AS(labels_at_rate(labels, 0, 50, 5), ConfigError);
}
