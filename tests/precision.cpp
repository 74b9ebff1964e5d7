// Products in bf16 as an option of a context: what it changes, by how much, and what it leaves alone.
#include <cmath>
#include <cstring>
#include <vector>

#include "catch.hpp"
#include "kernels/isas.hpp"
#include "numbers.hpp"
#include "phonaut/core/full_precision.hpp"
#include "phonaut/core/packed_weights.hpp"
#include "phonaut/encoders/zipformer/zipformer_encoder.hpp"
#include "phonaut/frontends/resample.hpp"
#include "phonaut/layers/conv1d.hpp"
#include "phonaut/layers/linear.hpp"
#include "phonaut/losses/decorrelation.hpp"
#include "phonaut/losses/sigreg.hpp"
#include "phonaut/ops/attention.hpp"
#include "phonaut/quantizers/gumbel.hpp"
#include "phonaut/training/muon.hpp"

namespace {
using namespace phonaut;
using B = Cpu;

/// Rounding to 8 binary digits errs by at most 2^-8 of a number, so a product of two by 2^-7 + 2^-16 of its size.
constexpr double product_error = 0x1p-7 + 0x1p-16;

template <size_t R>
Var<B, R> drawn(Context<B>& ctx, const Shape<R>& shape, std::uint64_t seed) {
  Context<B> own(Cpu{}, seed);
  return input(ctx, shape, draw<float>(own, element_count(shape), Init::normal(1)));
}

template <size_t R>
std::vector<float> magnitudes(const Var<B, R>& x) {
  auto v = values_of(x);
  for (float& a : v) a = std::fabs(a);
  return v;
}

/// |lower - full| <= bound for every element; and somewhere more than single precision could err.
void check_rounded(const std::vector<float>& lower, const std::vector<float>& full, const std::vector<float>& bound) {
  REQUIRE(lower.size() == full.size());
  REQUIRE(bound.size() == full.size());
  bool within = true;
  double most = 0;
  for (size_t i = 0; i < full.size(); ++i) {
    const double off = std::fabs(static_cast<double>(lower[i]) - static_cast<double>(full[i]));
    // Both sides sum up in single precision, which for up to 200 terms errs by less than 200 * 2^-24 of their sizes.
    within &= off <= static_cast<double>(bound[i]) * (product_error + 400 * 0x1p-24) + 1e-12;
    most = std::max(most, off / (static_cast<double>(bound[i]) + 1e-12));
  }
  CHECK(within);
  CHECK(most > 1e-4);
}

struct Outputs {
  std::vector<float> y, dx, dw;
};

/// A convolution or linear map, forward and back, on given numbers.
template <size_t R, class Layer>
Outputs run_layer(const Cpu& cpu, const Var<B, R>& x, const Var<B, R>& dy, const std::vector<float>& w, Layer&& layer) {
  Context<B> ctx(cpu);
  ctx.train();
  const auto in = ctx.variable(input(ctx, x.shape(), values_of(x)).tensor());
  const auto [y, weight] = layer(ctx, in, w);
  Outputs out{values_of(y), {}, {}};
  const auto gradients = ctx.backward(sum(y * input(ctx, dy.shape(), values_of(dy))));
  out.dx = values_of(ctx, gradients[in]);
  out.dw = values_of(ctx, gradients[weight]);
  return out;
}

/// The layer in fp32 and in bf16, on every instruction set; bounds come from the layer of magnitudes, whose outputs are
/// the sums of the sizes of all products.
template <size_t R, class Layer>
void check_layer(const Var<B, R>& x, const Var<B, R>& dy, const std::vector<float>& w, const Layer& layer) {
  std::vector<float> sizes = w;
  for (float& a : sizes) a = std::fabs(a);
  Context<B> ctx;
  for (Isa isa : testing::isas()) {
    Cpu cpu;
    cpu.isa = isa;
    cpu.threads = 2;
    const Outputs full = run_layer(cpu, x, dy, w, layer);
    const Outputs bound =
        run_layer(cpu, input(ctx, x.shape(), magnitudes(x)), input(ctx, dy.shape(), magnitudes(dy)), sizes, layer);
    cpu.precision = Precision::bf16;
    for (Bf16Unit unit : testing::bf16_units(isa)) {
      cpu.bf16_unit = unit;
      INFO(name_of(isa) << " bf16 by " << name_of(unit));
      const Outputs lower = run_layer(cpu, x, dy, w, layer);
      check_rounded(lower.y, full.y, bound.y);
      check_rounded(lower.dx, full.dx, bound.dx);
      check_rounded(lower.dw, full.dw, bound.dw);
    }
  }
}

TEST_CASE("a linear map in bf16 errs by its rounding, forward and back") {
  Context<B> ctx;
  const auto w = values_of(drawn(ctx, Shape<2>{40, 67}, 3));
  check_layer(drawn(ctx, Shape<3>{2, 30, 67}, 1), drawn(ctx, Shape<3>{2, 30, 40}, 2), w,
              [](Context<B>& c, const Var<B, 3>& x, const std::vector<float>& values) {
                const auto weight = c.variable(input(c, Shape<2>{40, 67}, values).tensor());
                return std::pair(linear<B>(x, weight), weight);
              });
}

TEST_CASE("a strided convolution in bf16 errs by its rounding, forward and back") {
  Context<B> ctx;
  const auto w = values_of(drawn(ctx, Shape<3>{12, 5, 19}, 3));
  const ConvGrid grid{.taps = 5, .stride = 2, .before = 2, .after = 2};
  check_layer(drawn(ctx, Shape<3>{2, 41, 19}, 1), drawn(ctx, Shape<3>{2, 21, 12}, 2), w,
              [&](Context<B>& c, const Var<B, 3>& x, const std::vector<float>& values) {
                const auto weight = c.variable(input(c, Shape<3>{12, 5, 19}, values).tensor());
                return std::pair(conv1d<B>({x, {}, 100}, weight, {}, grid).frames, weight);
              });
}

TEST_CASE("an op goes back in the precision of its forward, whatever the context says meanwhile") {
  Context<B> ctx;
  const auto x = drawn(ctx, Shape<2>{20, 33}, 1), w = drawn(ctx, Shape<2>{15, 33}, 2),
             dy = drawn(ctx, Shape<2>{20, 15}, 3);
  const auto gradient = [&](Precision forward, Precision back) {
    Context<B> c;
    c.train();
    c.precision(forward);
    const auto weight = c.variable(w.tensor());
    const auto loss = sum(linear<B>(input(c, x.shape(), values_of(x)), weight) * input(c, dy.shape(), values_of(dy)));
    c.precision(back);
    const auto gradients = c.backward(loss);
    CHECK(c.backend().precision == back);
    return values_of(c, gradients[weight]);
  };
  const auto full = gradient(Precision::fp32, Precision::fp32), lower = gradient(Precision::bf16, Precision::bf16);
  CHECK(full != lower);
  CHECK(gradient(Precision::fp32, Precision::bf16) == full);
  CHECK(gradient(Precision::bf16, Precision::fp32) == lower);
}

TEST_CASE("each context has a precision of its own") {
  Context<B> full, lower;
  lower.precision(Precision::bf16);
  const auto product = [](Context<B>& ctx) {
    return values_of(linear<B>(drawn(ctx, Shape<2>{9, 33}, 1), drawn(ctx, Shape<2>{15, 33}, 2)));
  };
  const auto before = product(full);
  CHECK(product(lower) != before);
  CHECK(product(full) == before);
  {
    const FullPrecision guard(lower);
    CHECK(product(lower) == before);
  }
  CHECK(lower.backend().precision == Precision::bf16);
  CHECK(product(lower) != before);
}

TEST_CASE("losses, filters, codes and optimisers stay in single precision") {
  const auto in_both = [](const auto& compute) {
    Context<B> full, lower;
    lower.precision(Precision::bf16);
    CHECK(compute(full) == compute(lower));
  };
  in_both([](Context<B>& ctx) {
    ctx.train();
    const auto x = ctx.variable(drawn(ctx, Shape<2>{64, 24}, 1).tensor());
    const auto loss = sigreg(x, random_slices(ctx, 24, 32));
    const auto gradients = ctx.backward(loss);
    return values_of(ctx, gradients[x]);
  });
  in_both([](Context<B>& ctx) {
    ctx.train();
    const auto x = ctx.variable(drawn(ctx, Shape<2>{40, 20}, 1).tensor());
    const auto gradients = ctx.backward(vicreg_loss(x, drawn(ctx, Shape<2>{40, 20}, 2)));
    return values_of(ctx, gradients[x]);
  });
  in_both([](Context<B>& ctx) {
    const auto x = drawn(ctx, Shape<2>{1, 800}, 1);
    return values_of(resample(Waveform<B>{x, {}, 16000}, {.from = 16000, .to = 8000}).samples);
  });
  in_both([](Context<B>& ctx) {
    return values_of(mix_entries<B>(drawn(ctx, Shape<3>{7, 2, 5}, 1), drawn(ctx, Shape<3>{2, 5, 9}, 2)));
  });
  in_both([](Context<B>& ctx) {
    Linear<B> layer(ctx, {.in = 20, .out = 30});
    Muon<B> muon(ctx.backend(), layer);
    auto x = values_of(drawn(ctx, Shape<2>{30, 20}, 1));
    muon.orthogonalise(ctx.backend(), x.data(), 30, 20);
    return x;
  });
}

TEST_CASE("a Zipformer in bf16 is near the one in fp32, the same on any number of threads") {
  const auto output = [](Precision precision, int threads, bool pack = false) {
    Context<B> ctx(Cpu{}, 1);
    ctx.precision(precision);
    ctx.threads(threads);
    const ZipformerConfig config = ZipformerConfig{
        .stacks = {{.dim = 32, .layers = 1, .heads = 4, .feedforward = 64, .kernel = 31},
                   {.dim = 48, .layers = 1, .heads = 4, .feedforward = 64, .kernel = 31, .downsample = 2}}};
    const ZipformerEncoder<B> model(ctx, {.encoder = config.with_training(ZipformerTraining::off())});
    const PackedWeights packed(model);
    if (pack) ctx.packed(&packed);
    return values_of(model({drawn(ctx, Shape<3>{2, 200, 80}, 5), {}, 100}).frames);
  };
  const auto full = output(Precision::fp32, 1), lower = output(Precision::bf16, 1);
  CHECK(output(Precision::bf16, 3) == lower);
  CHECK(output(Precision::bf16, 1, true) == lower);
  CHECK(output(Precision::fp32, 1, true) == full);
  const double error = testing::relative_error(lower, full);
  INFO("relative error " << error);
  CHECK(error > 1e-5);
  // Each product errs by about 2^-9 of its norm, independently; several dozen of them on a path add up to some 2^-6.
  CHECK(error < 0x1p-5);
}

TEST_CASE("a precision has a name, and others are refused") {
  CHECK(precision_named("fp32") == Precision::fp32);
  CHECK(precision_named("bf16") == Precision::bf16);
  CHECK(precision_named("tf32") == Precision::tf32);
  CHECK(precision_named("int8") == Precision::int8);
  CHECK(std::string(name_of(Precision::bf16)) == "bf16");
  CHECK_THROWS_AS(precision_named("fp16"), ConfigError);
  CHECK(can_run(best_bf16_unit()));
  for (Bf16Unit unit : {Bf16Unit::avx512, Bf16Unit::amx})
    if (can_run(unit)) CHECK(can_run(Isa::avx512));
}

}  // namespace
