// Published bugs of quantizers, as tests that fail where they are made again.
#include "quantizers_small.hpp"

using namespace phonaut;
using namespace phonaut::testing;

TEST_CASE("a factorised codebook searches by direction and returns the entry as it is", "[quantizers][regression]") {
  Context<Reference64> ctx;
  FactorisedResidualQuantizer<Reference64> rvq(ctx, {.dims = 2, .levels = 1, .entries = 2, .code_dims = 2});
  auto& level = rvq.quantizers[0];
  for (auto* side : {&level.in_proj, &level.out_proj}) {
    assign(ctx.backend(), side->weight_v.tensor(), std::vector<double>{1, 0, 0, 1});
    assign(ctx.backend(), side->weight_g.tensor(), std::vector<double>{1, 1});
    assign(ctx.backend(), side->bias.tensor(), std::vector<double>{0, 0});
  }
  assign(ctx.backend(), level.codebook.weight.tensor(), std::vector<double>{0, 5, 1, 0});
  const auto y = rvq({input(ctx, Shape<3>{1, 1, 2}, std::vector{0.1, 0.9}), {}, 0});
  CHECK(host_codes(ctx, y.codes)[0] == 0);  // the same direction, though (1, 0) is nearer
  CHECK(values_of(y.quantized.frames) == std::vector<double>{0, 5});
}

TEST_CASE("weight norm divides by the length of each output's weights", "[quantizers][regression]") {
  Context<Reference64> ctx;
  WeightNormLinear<Reference64> linear(ctx, {.in = 5, .out = 3});
  // W starts as v ...
  const auto v = values_of(ctx, linear.weight_v.tensor()), w = values_of(linear.weight(ctx));
  for (size_t i = 0; i < v.size(); ++i) CHECK(w[i] == Approx(v[i]));
  // ... and g alone sets the length of its rows.
  assign(ctx.backend(), linear.weight_g.tensor(), std::vector<double>{1, 2, 3});
  const auto scaled = values_of(linear.weight(ctx));
  for (size_t row = 0; row < 3; ++row) {
    double square = 0;
    for (size_t i = 0; i < 5; ++i) square += scaled[row * 5 + i] * scaled[row * 5 + i];
    CHECK(std::sqrt(square) == Approx(static_cast<double>(row + 1)));
  }
}

TEST_CASE("losses are means over levels in one tradition and sums in the other", "[quantizers][regression]") {
  double losses[2];
  for (const bool mean : {false, true}) {
    Context<Reference64> ctx;
    const ResidualQuantizer<Reference64> rvq(
        ctx, {.dims = 4, .levels = 3, .codebook = {.entries = 9}, .mean_of_levels = mean});
    losses[mean] = item(rvq(frames(ctx, {1, 6, 4}, 2)).loss);
  }
  CHECK(losses[0] == Approx(3 * losses[1]));
}

// Both sides of a split quantizer see the input itself; the acoustic side is no residual of the semantic one.
TEST_CASE("the acoustic codes of a split quantizer do not depend on the semantic codebook",
          "[quantizers][regression]") {
  Context<Cpu> ctx;
  auto quantizer = split(ctx);
  const auto x = frames(ctx, {1, 8, 5}, 3);
  const auto acoustic = [&] { return host_codes(ctx, phonaut::detail::take_levels(ctx, quantizer.encode(x), 1, 2)); };
  const auto semantic = [&] { return host_codes(ctx, phonaut::detail::take_levels(ctx, quantizer.encode(x), 0, 1)); };
  const auto before = acoustic(), other = semantic();
  auto& entries = quantizer.semantic.rvq.levels[0].book.embedding.tensor();
  for (long i = 0; i < entries.size(); ++i) entries.data()[i] = static_cast<float>(i % 7) - 3;
  CHECK(semantic() != other);
  CHECK(acoustic() == before);
}

TEST_CASE("a masked-channel quantizer encodes as it was trained", "[quantizers][regression]") {
  Context<Cpu> ctx;
  const auto quantizer = masked(ctx);
  const auto x = frames(ctx, {1, 20, 5}, 8);
  const auto codes = quantizer(x).codes;
  CHECK(host_codes(ctx, quantizer.encode(x)) == host_codes(ctx, codes));
  // The first level sees channel 0 alone (5/3 = 1 of 5): other channels do not change its code.
  auto values = values_of(x.frames);
  for (size_t i = 0; i < values.size(); ++i)
    if (i % 5 != 0) values[i] = 100;
  const auto others = quantizer.encode({input(ctx, x.frames.shape(), values), {}, 0});
  CHECK(host_codes(ctx, phonaut::detail::take_levels(ctx, others, 0, 1)) ==
        host_codes(ctx, phonaut::detail::take_levels(ctx, codes, 0, 1)));
  CHECK(host_codes(ctx, phonaut::detail::take_levels(ctx, others, 1, 1)) !=
        host_codes(ctx, phonaut::detail::take_levels(ctx, codes, 1, 1)));
}

TEST_CASE("values of trained quantizers are exact in training too", "[quantizers][regression]") {
  Context<Cpu> ctx;
  ctx.train();
  const auto check = [&](const auto& quantizer, long channels) {
    const auto y = quantizer(frames(ctx, {1, 20, channels}, 2));
    CHECK(values_of(y.quantized.frames) == values_of(quantizer.decode(ctx, y.codes)));
    ctx.clear();
  };
  check(grouped(ctx, {.entries = 9, .trained = true}), 4);
  check(masked(ctx, {.entries = 9, .trained = true}), 5);
  check(split(ctx, {.entries = 9, .trained = true}), 5);
  check(gumbel(ctx), 4);
  check(mvq(ctx), 6);
  check(LookupFreeQuantizer<Cpu>(ctx, {.bits = 5}), 5);
  check(BinarySphericalQuantizer<Cpu>(ctx, {.bits = 5}), 5);
}

TEST_CASE("Gumbel noise is finite and of its distribution, and falls silent in inference", "[quantizers][regression]") {
  Context<Cpu> ctx;
  const auto noise = to_vector(gumbel_noise(ctx, Shape<1>{100000}, ctx.random().take(100000)));
  double mean = 0;
  for (const float v : noise) mean += static_cast<double>(v) / 100000;
  CHECK(std::all_of(noise.begin(), noise.end(), [](float v) { return std::isfinite(v); }));
  CHECK(mean == Approx(0.57722).margin(0.02));  // Euler's constant; the deviation of the mean is 0.004
  const GumbelTemperature temperature;
  CHECK(temperature.at(0) == 2);
  CHECK(temperature.at(100000) == Approx(2 * std::exp(100000 * std::log(0.999995))));
  CHECK(temperature.at(10000000) == 0.5);
  const auto quantizer = gumbel(ctx);
  const auto x = frames(ctx, {1, 40, 4}, 5);
  const auto codes = host_codes(ctx, quantizer.encode(x));
  CHECK(host_codes(ctx, quantizer(x).codes) == codes);
  ctx.train();
  CHECK(host_codes(ctx, quantizer(x).codes) != codes);
  ctx.clear();
  CHECK_THROWS_AS(gumbel_choice(ctx.constant(ctx.zeros(Shape<3>{1, 1, 2})), {}, 0, true), ConfigError);
  CHECK_THROWS_AS(GumbelQuantizer<Cpu>(ctx, {.channels = 4, .dims = 5, .groups = 2}), ConfigError);
}

TEST_CASE("the order of digits is that of each method", "[quantizers][regression]") {
  Context<Cpu> ctx;
  const auto x = input(ctx, Shape<3>{1, 1, 3}, std::vector{2.0, -2.0, -2.0});
  CHECK(host_codes(ctx, LookupFreeQuantizer<Cpu>(ctx, {.bits = 3}).encode({x, {}, 0}))[0] == 4);
  CHECK(host_codes(ctx, BinarySphericalQuantizer<Cpu>(ctx, {.bits = 3}).encode({x, {}, 0}))[0] == 4);
  CHECK(host_codes(
            ctx,
            FiniteScalarQuantizer<Cpu>(ctx, {.levels = {2, 2, 2}, .bound = FsqBound::tan}).encode({x, {}, 0}))[0] == 1);
  // Zero goes to minus.
  const auto zero = ctx.constant(ctx.zeros(Shape<3>{1, 1, 3}));
  CHECK(host_codes(ctx, LookupFreeQuantizer<Cpu>(ctx, {.bits = 3}).encode({zero, {}, 0}))[0] == 0);
  CHECK(host_codes(ctx, BinarySphericalQuantizer<Cpu>(ctx, {.bits = 3}).encode({zero, {}, 0}))[0] == 0);
}

// std::round goes away from zero at one half; published code rounds to even.
TEST_CASE("finite scalars round one half to even", "[quantizers][regression]") {
  const FsqLevels levels({7}, FsqBound::tan, 1e-3);
  CHECK(levels.level(0, 0.5) == 3);
  CHECK(levels.level(0, 1.5) == 5);
  CHECK(levels.level(0, 2.5) == 5);
  CHECK(levels.level(0, -0.5) == 3);
}

// The two conventions of the bound disagree on even levels; mixed up, codes of a checkpoint are others.
TEST_CASE("the tan and atanh bounds of finite scalars are different codes", "[quantizers][regression]") {
  Context<Cpu> ctx;
  const auto x = frames(ctx, {1, 200, 4}, 3);
  const auto codes = [&](FsqBound bound) {
    return host_codes(ctx, FiniteScalarQuantizer<Cpu>(ctx, {.levels = {8, 4, 6, 8}, .bound = bound}).encode(x));
  };
  CHECK(codes(FsqBound::tan) != codes(FsqBound::atanh));
}

// Sums of half or single precision lose points that come late.
TEST_CASE("sums of a codebook keep their digits", "[quantizers][regression]") {
  Context<Cpu> ctx;
  const long rows = 300000;
  const auto x = ctx.full(Shape<2>{rows, 1}, 0.1f);
  auto code = ctx.empty_of<std::int32_t, 1>({rows});
  std::fill_n(code.data(), rows, 0);
  const auto sums = ctx.empty_of<double, 1>({2});
  kernel::code_sums(ctx.backend(), x.in(), static_cast<const std::int32_t*>(code.data()),
                    View<double, 1>(sums.data(), {1}), View<double, 2>(sums.data() + 1, {1, 1}));
  CHECK(sums.data()[0] == rows);
  CHECK(sums.data()[1] == Approx(rows * static_cast<double>(0.1f)).epsilon(1e-9));
}

// Updating before the search would let every batch choose its own entries.
TEST_CASE("a step's codes are those of the codebook from before the step", "[quantizers][regression]") {
  Context<Cpu> ctx;
  const VectorQuantizer<Cpu> vq(ctx, {.dims = 4, .codebook = {.entries = 9, .rule = {.decay = 0}}});
  ctx.train();
  const auto x = frames(ctx, {1, 50, 4}, 6);
  const auto before = host_codes(ctx, vq.encode(x));
  const auto codes = host_codes(ctx, vq(x).codes);
  ctx.clear();
  CHECK(codes == before);
  CHECK(host_codes(ctx, vq.encode(frames(ctx, {1, 50, 4}, 6))) != before);  // with no memory at all, entries jump
}

TEST_CASE("only clusters that were hit lose memory", "[quantizers][regression]") {
  Context<Cpu> ctx;
  OnlineClusters<Cpu> online(ctx, {.dims = 2, .layers = 1, .entries = 3});
  Codebook<Cpu>& book = online.layers[0];
  assign(ctx.backend(), book.embedding_sum.tensor(), std::vector<float>{0, 0, 10, 0, 0, 10});
  book.refresh(ctx, online.rule());
  ctx.train();
  const auto x = input(ctx, Shape<3>{1, 2, 2}, std::vector{11.0, 0.0, 9.0, 2.0});
  CHECK(host_codes(ctx, online({Sequence<Cpu>{x, {}, 0}})) == std::vector<std::int32_t>{1, 1});
  const std::vector<float> counts = to_vector(book.cluster_size.tensor()),
                           sums = to_vector(book.embedding_sum.tensor());
  CHECK(counts[0] == 1);
  CHECK(counts[1] == Approx(0.9 + 0.1 * 2));
  CHECK(counts[2] == 1);
  CHECK(sums[2] == Approx(0.9 * 10 + 0.1 * 20));
  CHECK(sums[5] == 10);
  CHECK_THROWS_AS(online({}), ShapeError);
}
