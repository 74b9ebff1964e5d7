// Products with weights in bytes (Precision::int8): what they compute, what they leave alone, what they cost.
#include <cmath>
#include <limits>
#include <vector>

#include "catch.hpp"
#include "kernels/isas.hpp"
#include "numbers.hpp"
#include "phonaut/core/packed_weights.hpp"
#include "phonaut/encoders/zipformer/zipformer_encoder.hpp"
#include "phonaut/layers/conv1d.hpp"
#include "phonaut/layers/linear.hpp"
#include "phonaut/ops/attention.hpp"
#include "phonaut/ops/gemm.hpp"

namespace {
using namespace phonaut;
using testing::numbers;
using B = Cpu;

struct OneMatrix {
  Param<B, 2> weight;
  static void visit(auto& self, auto&& f) { f("weight", self.weight); }
};

OneMatrix matrix(Context<B>& ctx, long rows, long k, const std::vector<float>& values) {
  OneMatrix m{make_param(ctx, Shape<2>{rows, k}, Init::constant(0))};
  std::copy(values.begin(), values.end(), m.weight.tensor().data());
  return m;
}

/// A row as bytes, by the formula of the documentation.
struct Row {
  std::vector<long> bytes;
  double scale = 0;
};
Row to_bytes(const float* x, long k) {
  float most = 0;
  for (long p = 0; p < k; ++p) most = std::max(most, std::fabs(x[p]));
  Row row{std::vector<long>(static_cast<size_t>(k), 0), static_cast<double>(most) / 127};
  if (most > 0)
    for (long p = 0; p < k; ++p) row.bytes[static_cast<size_t>(p)] = std::lrint(static_cast<double>(x[p]) / row.scale);
  return row;
}

/// Rows whose numbers lie clear of the middle between two bytes, so that it is certain which one is nearest: the first
/// is the largest, 127 times what the others are integers of, up to a third. Every row has a scale of its own.
std::vector<float> clear_rows(long rows, long k, long stride, unsigned seed) {
  const auto drawn = numbers(2 * rows * stride, seed);
  std::vector<float> x(static_cast<size_t>(rows * stride));
  for (long i = 0; i < rows; ++i)
    for (long p = 0; p < stride; ++p) {
      const auto at = static_cast<size_t>(i * stride + p);
      const double integer = std::round(126 * std::tanh(static_cast<double>(drawn[2 * at])));
      const double part = std::tanh(static_cast<double>(drawn[2 * at + 1])) / 3;
      const double scale = 0.001 * static_cast<double>(i % 7 + 1);
      x[at] = static_cast<float>(scale * (p == 0 ? (i % 2 ? -127 : 127) : p < k ? integer + part : 1e6));
    }
  return x;
}

/// Every way in which this machine multiplies bytes.
std::vector<Cpu> ways() {
  std::vector<Cpu> all;
  for (Isa isa : testing::isas()) {
    Cpu cpu;
    cpu.isa = isa;
    cpu.precision = Precision::int8;
    cpu.vnni = false;
    all.push_back(cpu);
    if (isa == Isa::avx512 && has_vnni()) {
      cpu.vnni = true;
      all.push_back(cpu);
    }
  }
  return all;
}

std::string name_of_way(const Cpu& cpu) { return concat(name_of(cpu.isa), cpu.vnni ? " with VNNI" : " without VNNI"); }

TEST_CASE("a product with weights in bytes is the sum of products of bytes, scaled") {
  Context<B> ctx;
  const float poison = std::numeric_limits<float>::quiet_NaN();
  for (const long k : {1L, 3L, 4L, 5L, 16L, 67L, 515L})
    for (const long n : {1L, 7L, 31L, 32L, 33L, 150L})
      for (const long m : {1L, 2L, 5L, 13L, 40L, 211L}) {
        const long gap = (m + n) % 2 * 3;
        const auto a = clear_rows(m, k, k + gap, 1), w = clear_rows(n, k, k, 2), bias = numbers(n, 3);
        const OneMatrix b = matrix(ctx, n, k, w);
        const PackedWeights packed(b, Precision::int8);
        std::vector<Row> rows, columns;
        rows.reserve(static_cast<size_t>(m));
        columns.reserve(static_cast<size_t>(n));
        for (long i = 0; i < m; ++i) rows.push_back(to_bytes(a.data() + i * (k + gap), k));
        for (long j = 0; j < n; ++j) columns.push_back(to_bytes(w.data() + j * k, k));
        const bool add = n % 2 == 0;
        for (Cpu cpu : ways()) {
          cpu.packed = &packed;
          INFO(name_of_way(cpu) << ", " << m << " x " << n << " x " << k);
          std::vector<float> c(static_cast<size_t>(m * (n + gap)), add ? 2.0f : poison);
          kernel::Gemm<float> g{.m = m, .n = n, .k = k};
          g.a = a.data(), g.a_row = k + gap;
          g.b = b.weight.tensor().data(), g.b_row = 1, g.b_col = k;
          g.c = c.data(), g.c_row = n + gap, g.add = add, g.bias = m % 2 ? bias.data() : nullptr;
          kernel::gemm(cpu, g);
          double worst = 0;
          bool kept = true;
          for (long i = 0; i < m; ++i) {
            for (long j = 0; j < n; ++j) {
              long sum = 0;
              for (long p = 0; p < k; ++p)
                sum += rows[static_cast<size_t>(i)].bytes[static_cast<size_t>(p)] *
                       columns[static_cast<size_t>(j)].bytes[static_cast<size_t>(p)];
              const double step = rows[static_cast<size_t>(i)].scale * columns[static_cast<size_t>(j)].scale;
              const double want = static_cast<double>(sum) * step + (add ? 2.0 : 0.0) +
                                  (g.bias ? static_cast<double>(bias[static_cast<size_t>(j)]) : 0.0);
              const double got = static_cast<double>(c[static_cast<size_t>(i * (n + gap) + j)]);
              // The sum, its scale and the result are rounded to single precision.
              worst = std::max(worst, std::fabs(got - want) / (std::fabs(static_cast<double>(sum) * step) + 4));
            }
            for (long j = n; j < n + gap; ++j) {
              const float there = c[static_cast<size_t>(i * (n + gap) + j)];
              kept &= add ? there == 2.0f : there != there;
            }
          }
          CHECK(worst < 1e-6);
          CHECK(kept);
          // Sums are exact, so threads change nothing.
          auto again = std::vector<float>(c.size(), add ? 2.0f : poison);
          cpu.threads = 3;
          g.c = again.data();
          kernel::gemm(cpu, g);
          bool same = true;
          for (long i = 0; i < m; ++i)
            for (long j = 0; j < n; ++j)
              same &= c[static_cast<size_t>(i * (n + gap) + j)] == again[static_cast<size_t>(i * (n + gap) + j)];
          CHECK(same);
        }
      }
}

TEST_CASE("sums of bytes are exact up to the longest rows, and longer rows stay floats") {
  Context<B> ctx;
  for (const long k : {65536L, 65537L}) {
    // All bytes are ±127: the largest sums there are.
    std::vector<float> a(static_cast<size_t>(k), 3.0f), w(static_cast<size_t>(2 * k), 0.5f);
    std::fill(w.begin() + k, w.end(), -0.5f);
    const OneMatrix b = matrix(ctx, 2, k, w);
    const PackedWeights packed(b, Precision::int8);
    CHECK(packed.count() == (k == 65536 ? 1u : 0u));
    for (Cpu cpu : ways()) {
      INFO(name_of_way(cpu) << ", " << k);
      cpu.packed = &packed;
      float c[2] = {};
      kernel::Gemm<float> g{.m = 1, .n = 2, .k = k};
      g.a = a.data(), g.a_row = k, g.b = b.weight.tensor().data(), g.b_row = 1, g.b_col = k, g.c = c, g.c_row = 2;
      kernel::gemm(cpu, g);
      // Single precision holds such a sum to 2^-24 of it.
      CHECK(c[0] == Approx(1.5 * static_cast<double>(k)).epsilon(1e-6));
      CHECK(c[1] == Approx(-1.5 * static_cast<double>(k)).epsilon(1e-6));
    }
  }
}

TEST_CASE("rows of zeros give the bias, rows that are not finite give NaN, in their places only") {
  Context<B> ctx;
  const long m = 5, n = 40, k = 37;
  auto a = numbers(m * k, 1), w = numbers(n * k, 2);
  const auto bias = numbers(n, 3);
  std::fill_n(a.begin() + 1 * k, k, 0.0f);
  std::fill_n(a.begin() + 2 * k, k, 1e-38f);  // so small that 127 / x is no float
  a[3 * k + 5] = std::numeric_limits<float>::infinity();
  a[4 * k + 36] = std::numeric_limits<float>::quiet_NaN();
  std::fill_n(w.begin() + 7 * k, k, 0.0f);
  w[33 * k] = std::numeric_limits<float>::quiet_NaN();
  const OneMatrix b = matrix(ctx, n, k, w);
  const PackedWeights packed(b, Precision::int8);
  for (Cpu cpu : ways()) {
    INFO(name_of_way(cpu));
    cpu.packed = &packed;
    std::vector<float> c(static_cast<size_t>(m * n));
    kernel::Gemm<float> g{.m = m, .n = n, .k = k};
    g.a = a.data(), g.a_row = k, g.b = b.weight.tensor().data(), g.b_row = 1, g.b_col = k;
    g.c = c.data(), g.c_row = n, g.bias = bias.data();
    kernel::gemm(cpu, g);
    for (long i = 0; i < m; ++i)
      for (long j = 0; j < n; ++j) {
        INFO("row " << i << ", column " << j);
        const float got = c[static_cast<size_t>(i * n + j)];
        if (i >= 3 || j == 33) CHECK(got != got);
        else if (i == 1 || j == 7) CHECK(got == bias[static_cast<size_t>(j)]);
        // 37 products below 1e-37 in size.
        else if (i == 2) CHECK(std::fabs(got - bias[static_cast<size_t>(j)]) < 1e-35f);
        else CHECK(got == got);
      }
  }
}

/// |lower - full| is at most what bytes can err by: half a step of either side for each product.
TEST_CASE("linear maps and convolutions in bytes err by half a step of each factor") {
  Context<B> ctx;
  ctx.infer();
  const Conv1d<B> conv(ctx, {.in = 19, .out = 12, .taps = 5, .stride = 2});
  const Linear<B> map(ctx, {.in = 67, .out = 40});
  const PackedWeights of_conv(conv, Precision::int8), of_map(map, Precision::int8);
  const auto sound = input(ctx, Shape<3>{2, 41, 19}, numbers(2 * 41 * 19, 1));
  const auto frames = input(ctx, Shape<3>{2, 30, 67}, numbers(2 * 30 * 67, 2));
  const auto largest = [](const std::vector<float>& x) {
    double most = 0;
    for (const float v : x) most = std::max(most, std::fabs(static_cast<double>(v)));
    return most;
  };
  const auto check = [&](const std::vector<float>& full, const std::vector<float>& lower, long terms, double x,
                         double w) {
    REQUIRE(full.size() == lower.size());
    double most = 0;
    for (size_t i = 0; i < full.size(); ++i)
      most = std::max(most, std::fabs(static_cast<double>(full[i]) - static_cast<double>(lower[i])));
    // Each product errs by at most |x| w/254 + |w| x/254 + x w/254², with x and w the largest of their kind.
    CHECK(most <= static_cast<double>(terms) * x * w * (2.0 / 254 + 1.0 / 254 / 254));
    CHECK(most > 0);
  };
  const auto y = values_of(conv({sound, {}, 100}).frames), z = values_of(map(frames));
  ctx.precision(Precision::int8);
  CHECK(values_of(map(frames)) == z);  // nobody said where the bytes are
  ctx.packed(&of_conv);
  check(y, values_of(conv({sound, {}, 100}).frames), 5 * 19, largest(values_of(sound)),
        largest(values_of(ctx.lift(conv.weight))));
  CHECK(values_of(map(frames)) == z);
  ctx.packed(&of_map);
  check(z, values_of(map(frames)), 67, largest(values_of(frames)), largest(values_of(ctx.lift(map.weight))));
  ctx.precision(Precision::fp32);
  CHECK(values_of(map(frames)) == z);
  ctx.packed(nullptr);
}

TEST_CASE("gradients in int8 are those of the floats") {
  const auto gradient = [](Precision precision) {
    Context<B> ctx(Cpu{}, 1);
    const Linear<B> map(ctx, {.in = 33, .out = 20});
    const PackedWeights packed(map, Precision::int8);
    ctx.packed(&packed);
    ctx.precision(precision);
    ctx.train();
    const auto x = ctx.variable(input(ctx, Shape<2>{9, 33}, numbers(9 * 33, 1)).tensor());
    const auto gradients = ctx.backward(sum(map(x) * input(ctx, Shape<2>{9, 20}, numbers(9 * 20, 2))));
    auto all = values_of(ctx, gradients[x]);
    const auto dw = values_of(ctx, gradients[map.weight]);
    all.insert(all.end(), dw.begin(), dw.end());
    ctx.packed(nullptr);
    return all;
  };
  CHECK(gradient(Precision::int8) == gradient(Precision::fp32));
}

TEST_CASE("weights are packed for fp32, bf16 or int8") {
  Context<B> ctx;
  const Linear<B> map(ctx, {.in = 64, .out = 32});
  CHECK_THROWS_AS(PackedWeights(map, Precision::tf32), ConfigError);
  const PackedWeights packed(map, Precision::int8);
  CHECK(packed.precision() == Precision::int8);
  CHECK(packed.count() == 1);
  // A byte for each weight, and a scale and a sum for each of 32 rows.
  CHECK(packed.bytes() == 64 * 32 + 32 * 8);
}

TEST_CASE("a Zipformer in bytes is near the one in fp32, the same on any number of threads") {
  const auto output = [](Precision precision, int threads, bool pack) {
    Context<B> ctx(Cpu{}, 1);
    ctx.precision(precision);
    ctx.threads(threads);
    const ZipformerConfig config = ZipformerConfig{
        .stacks = {{.dim = 32, .layers = 1, .heads = 4, .feedforward = 64, .kernel = 31},
                   {.dim = 48, .layers = 1, .heads = 4, .feedforward = 64, .kernel = 31, .downsample = 2}}};
    const ZipformerEncoder<B> model(ctx, {.encoder = config.with_training(ZipformerTraining::off())});
    const PackedWeights packed(model, Precision::int8);
    if (pack) ctx.packed(&packed);
    auto y = values_of(model({input(ctx, Shape<3>{2, 200, 80}, numbers(2 * 200 * 80, 5)), {}, 100}).frames);
    ctx.packed(nullptr);
    return y;
  };
  const auto full = output(Precision::fp32, 1, false), lower = output(Precision::int8, 1, true);
  CHECK(output(Precision::int8, 3, true) == lower);
  CHECK(output(Precision::int8, 1, false) == full);
  const double error = testing::relative_error(lower, full);
  INFO("relative error " << error);
  CHECK(error > 1e-4);
  // Numbers of a normal distribution are rounded to steps of a fortieth of their deviation: each factor errs by about
  // 0.8 %, a product by 1.1 %, and several dozen of them on a path, damped by residuals, by a few times that.
  CHECK(error < 0.06);
}

}  // namespace
