// Products that compute an activation too: the same numbers as the product and then the map, whichever way the product
// takes.
#include <vector>

#include "catch.hpp"
#include "kernels/isas.hpp"
#include "numbers.hpp"
#include "phonaut/core/packed_weights.hpp"
#include "phonaut/layers/conv1d.hpp"
#include "phonaut/layers/linear.hpp"
#include "phonaut/ops/activations.hpp"
#include "phonaut/ops/feed_forward.hpp"
#include "phonaut/ops/linear_activation.hpp"

namespace {
using namespace phonaut;
using testing::numbers;
using B = Cpu;

struct Way {
  std::string name;
  Cpu cpu;
};
/// Instruction sets, precisions and their units, on one thread and on three.
std::vector<Way> ways() {
  std::vector<Way> all;
  const auto add = [&all](const std::string& name, Cpu cpu) {
    cpu.threads = 1;
    all.push_back({name, cpu});
    cpu.threads = 3;
    all.push_back({name + ", three threads", cpu});
  };
  for (Isa isa : testing::isas()) {
    Cpu cpu;
    cpu.isa = isa;
    add(name_of(isa), cpu);
    cpu.precision = Precision::bf16;
    for (Bf16Unit unit : testing::bf16_units(isa)) {
      cpu.bf16_unit = unit;
      add(concat(name_of(isa), ", bf16 by ", name_of(unit)), cpu);
    }
    cpu.precision = Precision::int8;
    for (const bool vnni : {false, true}) {
      cpu.vnni = vnni && has_vnni();
      add(concat(name_of(isa), ", int8, VNNI ", cpu.vnni), cpu);
    }
  }
  return all;
}

/// `fused` and `apart` are calls of a context that give a Var; both in inference, and `fused` when recorded.
template <class Fused, class Apart>
void check_same(const Way& way, const PackedWeights& packed, const Fused& fused, const Apart& apart) {
  INFO(way.name);
  Context<B> ctx(way.cpu);
  if (way.cpu.precision == packed.precision()) ctx.packed(&packed);
  ctx.poison(true);
  // The same operations on the same numbers: the same bits.
  const auto want = values_of(apart(ctx));
  CHECK(values_of(fused(ctx)) == want);
  ctx.train();
  CHECK(values_of(fused(ctx)) == want);
  ctx.infer();
  ctx.packed(nullptr);
}

template <class F>
void check_formula(const char* name) {
  INFO(name);
  STATIC_REQUIRE(kernel::activation_of<F> != kernel::Activation::none);
  Context<B> maker(Cpu{}, 1);
  // Dot products, few rows (b in the place of a), many rows, tails of rows, columns and k, several blocks of k.
  for (const auto& [rows, in, out] :
       {std::tuple{0L, 4L, 3L}, {1L, 1L, 1L}, {3L, 37L, 50L}, {20L, 70L, 90L}, {150L, 33L, 21L}, {70L, 1100L, 300L}}) {
    INFO(rows << " x " << out << " x " << in);
    const Linear<B> map1(maker, {.in = in, .out = out});
    const PackedWeights packed(map1, Precision::int8);
    const auto x = numbers(rows * in, 2);
    for (const Way& way : ways())
      check_same(
          way, packed,
          [&, r = rows, i = in](Context<B>& ctx) {
            return linear_activation<F>(input(ctx, Shape<2>{r, i}, x), map1.weight, map1.bias);
          },
          [&, r = rows, i = in](Context<B>& ctx) {
            return map<F>(map1(input(ctx, Shape<2>{r, i}, x)));
          });
  }
}

TEST_CASE("products with an activation give what product and map give") {
  check_formula<formula::Relu>("relu");
  check_formula<formula::Silu>("silu");
  check_formula<formula::Gelu>("gelu");
  check_formula<formula::Tanh>("tanh");
  check_formula<formula::SwooshL>("swoosh_l");
  check_formula<formula::SwooshR>("swoosh_r");
}

TEST_CASE("convolutions with an activation give what convolution and map give") {
  Context<B> maker(Cpu{}, 1);
  for (const auto& config : {Conv1d<B>::Config{.in = 19, .out = 12, .taps = 5, .stride = 2},
                             {.in = 8, .out = 33, .taps = 3, .dilation = 2},
                             {.in = 12, .out = 18, .taps = 3, .groups = 3, .padding = ConvPadding::ends(1, 1)},
                             {.in = 1, .out = 40, .taps = 10, .stride = 5, .bias = false},
                             {.in = 6, .out = 9, .taps = 2, .normed = true}}) {
    INFO(config.in << " to " << config.out << ", taps " << config.taps);
    const Conv1d<B> conv(maker, config);
    const PackedWeights packed(conv, Precision::int8);
    const auto x = numbers(2 * 41 * config.in, 2);
    const auto frames = [&](Context<B>& ctx) {
      Lengths lengths = ctx.empty_lengths(2);
      lengths.data()[0] = 41, lengths.data()[1] = 30;
      return Sequence<B>{input(ctx, Shape<3>{2, 41, config.in}, x), lengths, 100};
    };
    for (const Way& way : ways())
      check_same(
          way, packed, [&](Context<B>& ctx) { return conv.activated<formula::Gelu>(frames(ctx)).frames; },
          [&](Context<B>& ctx) { return gelu(conv(frames(ctx)).frames); });
  }
}

TEST_CASE("a formula that products do not know goes through a map") {
  Context<B> ctx(Cpu{}, 1);
  STATIC_REQUIRE(kernel::activation_of<formula::LeakyRelu> == kernel::Activation::none);
  const Conv1d<B> conv(ctx, {.in = 3, .out = 4, .taps = 2});
  const Linear<B> linear(ctx, {.in = 3, .out = 4});
  const auto x = input(ctx, Shape<3>{1, 9, 3}, numbers(27, 1));
  const formula::LeakyRelu leaky{0.3f};
  CHECK(values_of(conv.activated({x, {}, 100}, leaky).frames) == values_of(map(conv({x, {}, 100}).frames, leaky)));
  CHECK(values_of(linear_activation(x, linear.weight, linear.bias, leaky)) == values_of(map(linear(x), leaky)));
}

TEST_CASE("a product adds, then activates") {
  for (const Way& way : ways()) {
    if (way.cpu.precision == Precision::int8) continue;  // no packed weights here
    INFO(way.name);
    const long m = 30, n = 40, k = 20;
    const auto a = numbers(m * k, 1), b = numbers(n * k, 2);
    const auto run = [&](kernel::Activation f) {
      auto c = numbers(m * n, 3);
      kernel::Gemm<float> g{.m = m, .n = n, .k = k};
      g.a = a.data(), g.a_row = k, g.b = b.data(), g.b_row = 1, g.b_col = k, g.c = c.data(), g.c_row = n;
      g.add = true, g.activation = f;
      kernel::gemm(way.cpu, g);
      return c;
    };
    auto want = run(kernel::Activation::none);
    for (float& v : want) v = v > 0 ? v : 0;
    CHECK(run(kernel::Activation::relu) == want);
  }
}

}  // namespace
