// Laws that hold for every layer: visit forgets no weight, copies are independent, shapes are checked.
#include "catch.hpp"
#include "phonaut/layers/conv1d.hpp"
#include "phonaut/layers/embedding.hpp"
#include "phonaut/layers/transformer.hpp"
#include "phonaut/ops/frame_rate.hpp"
#include "phonaut/ops/glu.hpp"
#include "phonaut/ops/reduce.hpp"
#include "phonaut/testing/visit_check.hpp"

using namespace phonaut;
using phonaut::testing::visit_problem;

namespace {

using R = Reference;

struct Forgetful {
  Linear<R> one, two;
  Forgetful(Context<R>& ctx) : one(ctx, {.in = 2, .out = 2}), two(ctx, {.in = 2, .out = 2}) {}
  static void visit(auto& self, auto&& f) { f("one", self.one); }
};
struct Doubled {
  Linear<R> one;
  Doubled(Context<R>& ctx) : one(ctx, {.in = 2, .out = 2}) {}
  static void visit(auto& self, auto&& f) {
    f("one", self.one);
    f("again", self.one);
  }
};

}  // namespace

TEST_CASE("visit names every weight once", "[layers]") {
  CHECK(visit_problem<R>([](auto& ctx) { return Linear<R>(ctx, {.in = 3, .out = 2}); }) == "");
  CHECK(visit_problem<R>([](auto& ctx) { return Linear<R>(ctx, {.in = 3, .out = 2, .bias = false}); }) == "");
  CHECK(visit_problem<R>([](auto& ctx) { return Conv1d<R>(ctx, {.in = 4, .out = 2, .taps = 3, .groups = 2}); }) == "");
  CHECK(visit_problem<R>([](auto& ctx) { return ConvTranspose1d<R>(ctx, {.in = 4, .out = 2, .taps = 3}); }) == "");
  CHECK(visit_problem<R>([](auto& ctx) { return LayerNorm<R>(ctx, {.dim = 4}); }) == "");
  CHECK(visit_problem<R>([](auto& ctx) { return RmsNorm<R>(ctx, {.dim = 4}); }) == "");
  CHECK(visit_problem<R>([](auto& ctx) { return GroupNorm<R>(ctx, {.dim = 4, .groups = 2}); }) == "");
  CHECK(visit_problem<R>([](auto& ctx) { return Embedding<R>(ctx, {.entries = 4, .dim = 2}); }) == "");
  CHECK(visit_problem<R>([](auto& ctx) { return Mlp<R>(ctx, {.dim = 4, .hidden = 2}); }) == "");
  CHECK(visit_problem<R>([](auto& ctx) { return SelfAttention<R>(ctx, {.dim = 4, .heads = 2}); }) == "");
  CHECK(visit_problem<R>(
            [](auto& ctx) { return Transformer<R>(ctx, {.dim = 4, .layers = 2, .heads = 2, .hidden = 8}); }) == "");
}

TEST_CASE("a visit that forgets or repeats is found out", "[layers]") {
  CHECK(visit_problem<R>([](auto& ctx) { return Forgetful(ctx); }) == "the layer made 4 weights, but visit shows 2");
  CHECK(visit_problem<R>([](auto& ctx) { return Doubled(ctx); }) ==
        "visit shows one weight twice, as one.bias and again.bias");
}

TEST_CASE("a deep copy is trained on its own", "[layers]") {
  Context<R> ctx;
  const Transformer<R> original(ctx, {.dim = 4, .layers = 1, .heads = 2, .hidden = 8});
  const Transformer<R> shared = original;
  Transformer<R> copy = deep_copy(original, ctx.backend());
  CHECK(parameter_count(copy) == parameter_count(original));
  std::vector<float> before, after;
  for_each_param(original, [&](const std::string&, const auto& p) {
    before.insert(before.end(), p.tensor().data(), p.tensor().data() + p.size());
  });
  for_each_param(copy, [&](const std::string&, auto& p) { std::fill_n(p.tensor().data(), p.size(), 7.0f); });
  for_each_param(original, [&](const std::string&, const auto& p) {
    after.insert(after.end(), p.tensor().data(), p.tensor().data() + p.size());
  });
  CHECK(before == after);
  // A plain copy shares: the same weights at the same place.
  CHECK(shared.norm.weight.tensor().data() == original.norm.weight.tensor().data());
}

TEST_CASE("layers say what does not fit", "[layers]") {
  Context<R> ctx;
  const auto frames = [&](const Shape<3>& shape) { return ctx.constant(ctx.zeros(shape)); };
  const Sequence<R> x{frames({2, 5, 4}), {}, 0};
  CHECK_THROWS_WITH(Linear<R>(ctx, {.in = 3, .out = 2})(x.frames),
                    "linear: input of shape (2, 5, 4) has 4 channels, but weight (2, 3) needs 3");
  CHECK_THROWS_WITH(Conv1d<R>(ctx, {.in = 6, .out = 2, .taps = 3, .groups = 2})(x),
                    "conv1d: input (2, 5, 4) and 2 groups of 3 taps do not fit the weight (2, 3, 3)");
  CHECK_THROWS_WITH(Conv1d<R>(ctx, {.in = 5, .out = 2, .groups = 2}),
                    "conv1d: 5 channels in and 2 out do not divide into 2 groups");
  CHECK_THROWS_AS(Conv1d<R>(ctx, {.in = 5, .out = 2, .stride = 0}), ConfigError);
  CHECK_THROWS_WITH(ConvTranspose1d<R>(ctx, {.in = 3, .out = 2, .taps = 2})(x),
                    "conv_transpose1d: input (2, 5, 4) and 1 groups of 2 taps do not fit the weight (3, 2, 2)");
  CHECK_THROWS_WITH(LayerNorm<R>(ctx, {.dim = 3})(x),
                    "layer_norm: input of shape (2, 5, 4) has 4 channels, but the gain (3) needs 3");
  CHECK_THROWS_AS(RmsNorm<R>(ctx, {.dim = 3})(x), ShapeError);
  CHECK_THROWS_WITH(GroupNorm<R>(ctx, {.dim = 6, .groups = 3})(x),
                    "group_norm: the 4 channels of (2, 5, 4) do not divide into 3 groups");
  CHECK_THROWS_AS(GroupNorm<R>(ctx, {.dim = 6, .groups = 4}), ConfigError);
  CHECK_THROWS_WITH(softmax(x.frames, lengths_of(ctx, std::vector<long>{5, 4})),
                    "softmax: length 5 of entry 0 is outside of 0 … 4");
  CHECK_THROWS_WITH(glu(slice(x.frames, 2, 0, 3)),
                    "glu: input of shape (2, 5, 3) has 3 channels, but two halves need an even number");
  CHECK_THROWS_AS(dropout(x.frames, 1.0), ConfigError);
  CHECK_THROWS_AS(dropout(x.frames, -0.1), ConfigError);
  CHECK_THROWS_WITH(SelfAttention<R>(ctx, {.dim = 6, .heads = 2, .rotary = true}),
                    "self_attention: 6 channels do not make 2 heads of pairs");
  CHECK_THROWS_AS(rotary(x.frames, 4), ShapeError);
  CHECK_THROWS_AS(average_frames(x, 0), ConfigError);
  CHECK_THROWS_AS(repeat_frames(x, 2, 11), ConfigError);
  CHECK_THROWS_AS(max_last(slice(x.frames, 2, 0, 0)), ShapeError);
  CHECK_THROWS_WITH(add_frames(x.frames, ctx.constant(ctx.zeros(Shape<2>{4, 4}))),
                    "add_frames: input is (2, 5, 4) but the frames to add are (4, 4)");
  const Embedding<R> table(ctx, {.entries = 3, .dim = 2});
  auto ids = ctx.template empty_of<std::int32_t, 1>(Shape<1>{2});
  ids.data()[0] = 2, ids.data()[1] = 3;
  CHECK_THROWS_WITH(table(ctx, ids), "embedding: id 3 at place 1 is outside of 0 … 2");
  ids.data()[1] = -1;
  CHECK_THROWS_AS(table(ctx, ids), ShapeError);
}

TEST_CASE("an op that is given nothing says so", "[layers]") {
  Context<R> ctx;
  const Sequence<R> x{ctx.constant(ctx.zeros(Shape<3>{2, 5, 4})), {}, 0};
  const Param<R, 3> no_taps;
  CHECK_THROWS_WITH(linear(x.frames, Param<R, 2>()), "an op was given no weight where it needs one of 2 axes");
  CHECK_THROWS_WITH(conv1d(x, no_taps, {}, ConvGrid{}), "an op was given no weight where it needs one of 3 axes");
  CHECK_THROWS_AS(add_channels(x.frames, Param<R, 1>()), ConfigError);
  CHECK_THROWS_WITH((x.frames + Var<R, 3>()), "add: x is (2, 5, 4) but y is (0, 0, 0)");
  const char* no_value =
      "an op was given a Var that holds no value where it needs one that holds a value of some context";
  CHECK_THROWS_WITH(swoosh_l(Var<R, 3>()), no_value);
  CHECK_THROWS_AS(Linear<R>(ctx, {.in = 4, .out = 2})(Sequence<R>()), ShapeError);
  CHECK_THROWS_WITH(glu(Var<R, 2>()), no_value);
}

TEST_CASE("convolutions know their frames and rates", "[layers]") {
  Context<R> ctx;
  const Sequence<R> x{ctx.constant(ctx.zeros(Shape<3>{2, 9, 3})), lengths_of(ctx, std::vector<long>{9, 4}), 100};
  struct Want {
    ConvPadding padding;
    long stride, frames, second;
  };
  for (const Want& want : {Want{ConvPadding::none(), 1, 5, 0}, Want{ConvPadding::causal(), 2, 5, 2},
                           Want{ConvPadding::centred(), 2, 5, 2}, Want{ConvPadding::ends(1, 0), 3, 2, 1}}) {
    const Conv1d<R> conv(ctx, {.in = 3, .out = 4, .taps = 5, .stride = want.stride, .padding = want.padding});
    const auto y = conv(x);
    CHECK(y.frames.shape() == Shape<3>{2, want.frames, 4});
    CHECK(y.length(0) == want.frames);
    CHECK(y.length(1) == want.second);
    CHECK(y.rate == 100.0 / static_cast<double>(want.stride));
    CHECK(conv.frames(9) == want.frames);
  }
  const ConvTranspose1d<R> up(ctx, ConvTranspose1d<R>::Config::causal(3, 2, 8, 4));
  const auto y = up(x);
  CHECK(y.frames.shape() == Shape<3>{2, 36, 2});
  CHECK(y.length(1) == 16);
  CHECK(y.rate == 400);
}
