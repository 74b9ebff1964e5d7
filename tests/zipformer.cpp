// Laws of the Zipformer: a batch equals its utterances, threads change no bit, load after save is the identity, visit
// forgets nothing, and the gradients of input and weights are those of dual numbers.
#include <cmath>
#include <memory>

#include "catch.hpp"
#include "io_support.hpp"
#include "phonaut/encoders/zipformer/zipformer_encoder.hpp"
#include "phonaut/testing/gradient_check.hpp"
#include "phonaut/testing/visit_check.hpp"
#include "phonaut/training/checkpoint.hpp"

using namespace phonaut;
using namespace phonaut::testing;

namespace {

constexpr long kChannels = 20;  // a register of the widest instruction set, and some

struct Form {
  bool causal = false;
  Chunking chunking = {};
};
const std::vector<Form> forms{{false, {}}, {true, {}}, {true, {.frames = 4, .left = 8}}};

ZipformerStackConfig stack_config(bool causal, long downsample, long layers, long dim = kChannels) {
  return {.dim = dim,
          .layers = layers,
          .heads = 2,
          .feedforward = 24,
          .kernel = 5,
          .downsample = downsample,
          .query_head = 5,
          .value_head = 3,
          .pos_head = 2,
          .pos_dim = 8,
          .causal = causal};
}
ZipformerConfig encoder_config(bool causal, long layers = 1) {
  ZipformerConfig c;
  c.stacks = {stack_config(causal, 1, layers), stack_config(causal, 2, layers, 24), stack_config(causal, 4, layers)};
  return c;
}
template <class B>
ZipformerLayer<B> make_layer(Context<B>& ctx, bool causal) {
  return {ctx,
          {.dim = kChannels,
           .heads = 2,
           .feedforward = 24,
           .kernel = 5,
           .query_head = 5,
           .value_head = 3,
           .pos_head = 2,
           .pos_dim = 8,
           .causal = causal}};
}
template <class B>
Sequence<B> apply(const ZipformerLayer<B>& layer, const Sequence<B>& x, const Chunking& chunking) {
  return layer(x, compact_positions(x.context(), x.time(), 0, 8), zipformer::Chunks(chunking));
}
template <class B>
Sequence<B> apply(const auto& model, const Sequence<B>& x, const Chunking& chunking) {
  return model(x, chunking);
}

/// Weights that every backend sees alike, far from their start, where scales and biases hide mistakes. Dual numbers get
/// a slope for the weight called `along`: the direction in which it moves.
template <class B>
void set_weights(Context<B>& ctx, auto& model, const std::string& along = "", const std::vector<double>& way = {}) {
  using S = typename B::Scalar;
  std::uint64_t seed = 100;
  for_each_param(model, [&](const std::string& name, auto& p) {
    const auto drawn = normal(Shape<1>{p.size()}, seed++, 0.2).data;
    std::vector<S> values(drawn.begin(), drawn.end());
    if constexpr (std::is_same_v<S, Dual>)
      for (size_t i = 0; name == along && i < values.size(); ++i) values[i].slope = way[i];
    assign(ctx.backend(), p.tensor(), values);
  });
}

/// Largest difference, relative to the largest of `want`.
double difference(const std::vector<double>& got, const std::vector<double>& want) {
  REQUIRE(got.size() == want.size());
  double worst = 0, scale = 1e-30;
  for (size_t i = 0; i < got.size(); ++i) {
    const double e = std::fabs(got[i] - want[i]);
    worst = std::isnan(e) ? INFINITY : std::max(worst, e);
    scale = std::max(scale, std::fabs(want[i]));
  }
  return worst / scale;
}

/// Rows [n, 0 … length) of frames (N, T, C).
template <class V>
std::vector<double> frames_of(const V& all, const Shape<3>& shape, long n, long length) {
  const auto begin = all.begin() + n * shape[1] * shape[2];
  return {begin, begin + length * shape[2]};
}

/// A padded batch gives each utterance what it gets alone, forward and backward, whatever stands in the padding.
template <class B>
void check_batch(B backend, const auto& make, const Form& form, double tolerance) {
  const std::vector<long> lengths{13, 1, 0, 8};
  const long batch = 4, time = 13;
  Context<B> made(backend);
  auto model = make(made, form.causal);
  set_weights(made, model);
  struct Result {
    std::vector<double> y, dx;
    Shape<3> y_shape{}, x_shape{};
    std::vector<long> lengths;
  };
  const auto run = [&](const Shape<3>& shape, const std::vector<double>& data, const std::vector<long>& counts,
                       long first) {
    Context<B> ctx(backend);
    ctx.poison(true);
    ctx.set_recording(true);
    const auto x = ctx.variable(input(ctx, shape, data).tensor());
    const Sequence<B> y = apply(model, sequence_of(x, counts), form.chunking);
    Result result{{}, std::vector<double>(data.size(), 0.0), y.frames.shape(), shape, {}};
    for (const auto v : values_of(y.frames)) result.y.push_back(static_cast<double>(v));
    std::vector<double> cotangent(result.y.size(), 0.0);
    for (long n = 0; n < y.batch(); ++n) {
      result.lengths.push_back(y.length(n));
      for (long t = 0; t < y.length(n); ++t)
        for (long c = 0; c < y.channels(); ++c)
          cotangent[static_cast<size_t>((n * y.time() + t) * y.channels() + c)] =
              std::sin(static_cast<double>(1 + first + n + 3 * t + 7 * c));
    }
    if (data.empty() || cotangent.empty()) return result;  // nothing to differentiate
    const auto gradients = ctx.backward(sum(input(ctx, y.frames.shape(), cotangent) * y.frames));
    const auto dx = values_of(ctx, gradients[x]);
    for (size_t i = 0; i < dx.size(); ++i) result.dx[i] = static_cast<double>(dx[i]);
    return result;
  };
  const auto values = normal(Shape<3>{batch, time, kChannels}, 1).data;
  auto padded = values;
  for (long n = 0; n < batch; ++n)
    for (long i = lengths[static_cast<size_t>(n)] * kChannels; i < time * kChannels; ++i)
      padded[static_cast<size_t>(n * time * kChannels + i)] = 1000;
  const Result together = run({batch, time, kChannels}, padded, lengths, 0);
  for (long n = 0; n < batch; ++n) {
    const long length = lengths[static_cast<size_t>(n)];
    const auto begin = values.begin() + n * time * kChannels;
    const Result alone = run({1, length, kChannels}, {begin, begin + length * kChannels}, {length}, n);
    INFO("utterance " << n << " of " << length << " frames, causal " << form.causal << ", chunks of "
                      << form.chunking.frames);
    const long out = alone.lengths[0];
    CHECK(together.lengths[static_cast<size_t>(n)] == out);
    CHECK(difference(frames_of(together.y, together.y_shape, n, out), frames_of(alone.y, alone.y_shape, 0, out)) <=
          tolerance);
    CHECK(difference(frames_of(together.dx, together.x_shape, n, length),
                     frames_of(alone.dx, alone.x_shape, 0, length)) <= tolerance);
  }
}
void check_batches(const auto& make) {
  for (const Form& form : forms) {
    // In double a leak stands out from the rounding of some thousand additions.
    check_batch(Reference64{}, make, form, 1e-11);
    // In float sums come in another order when there are fewer rows; backward through up to six layers amplifies that.
    for (const Isa isa : {Isa::baseline, best_isa()}) check_batch(Cpu{{}, 2, isa}, make, form, 5e-5);
  }
}

}  // namespace

TEST_CASE("a batch of a Zipformer equals its utterances", "[zipformer]") {
  SECTION("layer") {
    check_batches([](auto& ctx, bool causal) { return make_layer(ctx, causal); });
  }
  SECTION("stacks") {
    for (const long downsample : {1L, 2L, 4L})
      check_batches([=]<class B>(Context<B>& ctx, bool causal) {
        return ZipformerStack<B>(ctx, stack_config(causal, downsample, 2));
      });
  }
  SECTION("encoder") {
    check_batches([]<class B>(Context<B>& ctx, bool causal) { return Zipformer<B>(ctx, encoder_config(causal)); });
  }
}

TEST_CASE("threads do not change a bit of a Zipformer", "[zipformer][threads]") {
  for (const Form& form : forms) {
    Context<Cpu> made;
    auto model = ZipformerEncoder<Cpu>(made, {.encoder = encoder_config(form.causal, 2), .features = 30});
    set_weights(made, model);
    const auto run = [&](int threads) {
      Context<Cpu> ctx;
      ctx.threads(threads);
      ctx.set_recording(true);
      const Shape<3> shape{3, 407, 30};
      const auto x = sequence_of(input(ctx, shape, normal(shape, 2).data), std::vector<long>{407, 160, 303});
      const auto y = model(x, form.chunking);
      const auto gradients = ctx.backward(mean(y.frames * y.frames));
      std::vector<std::vector<float>> all{to_vector(y.frames.tensor())};
      for_each_param(model, [&](const std::string&, const auto& p) {
        if (gradients.has(p)) all.push_back(to_vector(gradients[p]));
      });
      return all;
    };
    const auto one = run(1);
    CHECK(one.size() > 100);
    for (const auto& values : one)
      for (const float v : values) REQUIRE(std::isfinite(v));
    for (const int threads : {2, 3}) CHECK((run(threads) == one));
  }
}

TEST_CASE("load after save is the identity of a Zipformer", "[zipformer]") {
  for (const bool causal : {false, true}) {
    Context<Cpu> ctx(Cpu{}, 1), elsewhere(Cpu{}, 2);
    const auto make = [&](Context<Cpu>& c) {
      return ZipformerEncoder<Cpu>(c, {.encoder = encoder_config(causal, 2), .features = 9, .channels = {2, 3, 4}});
    };
    auto model = make(ctx);
    auto loaded = make(elsewhere);
    set_weights(ctx, model);
    const auto run = [](const auto& m) {
      Context<Cpu> c;
      const Shape<3> shape{2, 41, 9};
      return to_vector(
          m(sequence_of(input(c, shape, normal(shape, 3).data), std::vector<long>{41, 20})).frames.tensor());
    };
    CHECK(run(loaded) != run(model));
    const TemporaryFolder folder;
    save(folder / "zipformer.safetensors", model);
    load(folder / "zipformer.safetensors", loaded);
    std::vector<std::vector<float>> want, got;
    for_each_weight(model, [&](const std::string&, const auto& w) { want.push_back(to_vector(w.tensor())); });
    for_each_weight(loaded, [&](const std::string&, const auto& w) { got.push_back(to_vector(w.tensor())); });
    CHECK(want.size() > 100);
    CHECK((got == want));
    CHECK((run(loaded) == run(model)));
  }
}

TEST_CASE("visit forgets no weight of a Zipformer", "[zipformer]") {
  using R = Reference;
  for (const bool causal : {false, true}) {
    CHECK(visit_problem<R>([&](auto& ctx) { return make_layer(ctx, causal); }) == "");
    // Further layers of a stack are copies of the first one, which the context does not count.
    for (const long downsample : {1L, 2L})
      CHECK(visit_problem<R>([&](auto& ctx) { return ZipformerStack<R>(ctx, stack_config(causal, downsample, 1)); }) ==
            "");
    CHECK(visit_problem<R>([&](auto& ctx) { return Zipformer<R>(ctx, encoder_config(causal)); }) == "");
    CHECK(visit_problem<R>([&](auto& ctx) {
            return ZipformerEncoder<R>(ctx, {.encoder = encoder_config(causal), .features = 9});
          }) == "");
    Context<R> ctx;
    CHECK(parameter_count(ZipformerStack<R>(ctx, stack_config(causal, 1, 3))) ==
          3 * parameter_count(make_layer(ctx, causal)));
  }
}

namespace {

const Shape<3> layer_shape{2, 9, kChannels};

/// Values of a layer over a batch with padding, and the gradients of its weights for a given cotangent.
template <class B>
struct LayerRun {
  std::vector<double> values, slopes;
  std::map<std::string, std::vector<double>> gradients;

  LayerRun(B backend, const Form& form, const std::string& along = "", const std::vector<double>& way = {}) {
    Context<B> ctx(backend);
    ctx.poison(true);
    auto layer = make_layer(ctx, form.causal);
    set_weights(ctx, layer, along, way);
    ctx.set_recording(!std::is_same_v<typename B::Scalar, Dual>);
    const auto x = input(ctx, layer_shape, normal(layer_shape, 5).data);
    const auto y = apply(layer, sequence_of(x, std::vector<long>{9, 6}), form.chunking).frames;
    if constexpr (std::is_same_v<typename B::Scalar, Dual>) {
      for (const Dual& v : values_of(y)) slopes.push_back(v.slope);
    } else {
      const auto gradient = ctx.backward(sum(input(ctx, y.shape(), normal(y.shape(), 6).data) * y));
      for_each_param(layer, [&](const std::string& name, const auto& p) {
        auto& to = gradients[name];
        if (!gradient.has(p)) to.resize(static_cast<size_t>(p.size()), 0.0);
        else
          for (const auto g : values_of(ctx, gradient[p])) to.push_back(static_cast<double>(g));
      });
    }
  }
};

}  // namespace

TEST_CASE("gradients of a Zipformer layer are exact", "[zipformer]") {
  const auto cotangent = normal(layer_shape, 6).data;
  for (const Form& form : forms) {
    INFO("causal " << form.causal << ", chunks of " << form.chunking.frames);
    // Weights: the derivative along one direction for each of them, relative to the gradient's length.
    const LayerRun<Reference64> exact(Reference64{}, form);
    const LayerRun<Cpu> baseline(Cpu{{}, 2, Isa::baseline}, form), best(Cpu{{}, 2, best_isa()}, form);
    std::uint64_t seed = 300;
    long unused = 0;
    for (const auto& [name, gradient] : exact.gradients) {
      INFO(name);
      const auto way = normal(Shape<1>{static_cast<long>(gradient.size())}, seed++).data;
      const auto along = [&](const std::vector<double>& g) {
        double total = 0;
        for (size_t i = 0; i < g.size(); ++i) total += g[i] * way[i];
        return total;
      };
      const LayerRun<ReferenceOf<Dual>> moved(ReferenceOf<Dual>{}, form, name, way);
      double want = 0, square = 0;
      for (size_t i = 0; i < cotangent.size(); ++i) want += cotangent[i] * moved.slopes[i];
      for (const double g : gradient) square += g * g;
      const double length = std::sqrt(square);
      if (length == 0) ++unused;
      CHECK(std::fabs(along(gradient) - want) <= 1e-11 * length);
      // Float: a dozen modules deep, each some roundings of sums of tens of terms.
      CHECK(std::fabs(along(baseline.gradients.at(name)) - want) <= 1e-4 * length);
      CHECK(std::fabs(along(best.gradients.at(name)) - want) <= 1e-4 * length);
    }
    CHECK(unused == 1);  // `bypass_scale` of the layer itself, which checkpoints have and nothing uses

    // The input, element by element.
    const auto call = [&]<class V>(const V& x) {
      auto& ctx = x.context();
      using B = typename V::Backend;
      static std::vector<std::shared_ptr<ZipformerLayer<B>>> kept;  // a tape knows parameters by their address
      kept.push_back(std::make_shared<ZipformerLayer<B>>(make_layer(ctx, form.causal)));
      set_weights(ctx, *kept.back());
      return apply(*kept.back(), sequence_of(x, std::vector<long>{9, 6}), form.chunking).frames;
    };
    const auto in = std::tuple{normal(layer_shape, 5)};
    CHECK(compare(Reference64{}, call, in).worst_gradient() <= 1e-11);
    for (const Isa isa : {Isa::baseline, best_isa()}) {
      const Comparison found = compare(Cpu{{}, 2, isa}, call, in);
      CHECK(found.value <= 1e-5);
      CHECK(found.worst_gradient() <= 5e-5);
    }
  }
}
