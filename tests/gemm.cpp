// The matrix product of every instruction set and precision against double precision: layouts, odd sizes, strides,
// batches, threads.
#include <array>
#include <bit>
#include <cmath>
#include <cstring>
#include <limits>
#include <random>
#include <vector>

#include "catch.hpp"
#include "kernels/isas.hpp"
#include "numbers.hpp"
#include "phonaut/core/error.hpp"
#include "phonaut/core/packed_weights.hpp"
#include "phonaut/core/param.hpp"
#include "phonaut/ops/gemm.hpp"

#ifdef PHONAUT_TEST_EMULATED_AMX
namespace phonaut::kernel::amx_emulated {
void gemm_own(const Cpu& cpu, const Gemm<float>& g);
}
#endif

namespace {
using namespace phonaut;
using kernel::Gemm;
using testing::numbers;

constexpr float poison = std::numeric_limits<float>::quiet_NaN();

struct Problem {
  long m, n, k, batch = 1;
  char a = 'n', b = 'n';  ///< n: rows of consecutive numbers, t: columns, o (a only): rows that overlap
  bool add = false, bias = false;
  long gap = 0;  ///< unused elements between rows
};

/// What a product sees of x: in bf16 the nearest number of 8 binary digits, the even one of two.
double seen(const Cpu& cpu, float x) {
  if (cpu.precision == Precision::fp32 || x == 0.0f) return static_cast<double>(x);
  int exponent = 0;
  const double digits = std::frexp(static_cast<double>(x), &exponent);  // 0.5 <= |digits| < 1
  return std::ldexp(std::nearbyint(std::ldexp(digits, 8)), exponent - 8);
}

/// What a product sees of numbers.
std::vector<double> all_seen(const Cpu& cpu, const std::vector<float>& x) {
  std::vector<double> y;
  y.reserve(x.size());
  for (const float v : x) y.push_back(seen(cpu, v));
  return y;
}

/// A way to multiply.
struct Multiplier {
  std::string name;
  Cpu cpu;
  void (*gemm)(const Cpu&, const Gemm<float>&) = phonaut::kernel::gemm;
};

/// All that this machine has: instruction sets; fp32, and bf16 by every unit; and AMX emulated.
std::vector<Multiplier> multipliers() {
  std::vector<Multiplier> all;
  for (Isa isa : testing::isas()) {
    Cpu cpu;
    cpu.isa = isa;
    all.push_back({name_of(isa), cpu});
    cpu.precision = Precision::bf16;
    for (Bf16Unit unit : testing::bf16_units(isa)) {
      cpu.bf16_unit = unit;
      all.push_back({concat(name_of(isa), ", bf16 by ", name_of(unit)), cpu});
    }
  }
#ifdef PHONAUT_TEST_EMULATED_AMX
  if (can_run(Bf16Unit::avx512) && best_isa() == Isa::avx512) {
    Cpu cpu;
    cpu.precision = Precision::bf16;
    all.push_back({"AMX emulated", cpu, phonaut::kernel::amx_emulated::gemm_own});
  }
#endif
  return all;
}

// Runs `p` and returns all of c's memory, gaps included; checks it against double precision, or leaves that to the
// caller.
std::vector<float> run(const Multiplier& by, const Problem& p, bool check = true) {
  const Cpu& cpu = by.cpu;
  Gemm<float> g{.m = p.m, .n = p.n, .k = p.k};
  const long inner_a = p.a == 't' ? p.m : p.k, outer_a = p.a == 't' ? p.k : p.m;
  const long inner_b = p.b == 't' ? p.k : p.n, outer_b = p.b == 't' ? p.n : p.k;
  const long row_a = p.a == 'o' ? std::max(1L, p.k / 3) : inner_a + p.gap, row_b = inner_b + p.gap, row_c = p.n + p.gap;
  g.a_row = p.a == 't' ? 1 : row_a;
  g.a_col = p.a == 't' ? row_a : 1;
  g.b_row = p.b == 't' ? 1 : row_b;
  g.b_col = p.b == 't' ? row_b : 1;
  g.c_row = row_c;
  g.batch = p.batch;
  g.a_batch = outer_a * row_a + 5;
  g.b_batch = outer_b * row_b + 3;
  g.c_batch = p.m * row_c + 1;
  g.add = p.add;
  // One float off, so that nothing is aligned by luck.
  const auto a = numbers(p.batch * g.a_batch + p.k + 1, 1), b = numbers(p.batch * g.b_batch + 1, 2);
  const auto bias = numbers(p.n, 3);
  std::vector<float> c(static_cast<size_t>(p.batch * g.c_batch + 1), p.add ? 0.5f : poison);
  g.a = a.data() + 1;
  g.b = b.data() + 1;
  g.c = c.data() + 1;
  if (p.bias) g.bias = bias.data();
  by.gemm(cpu, g);
  if (!check) return c;

  const auto seen_a = all_seen(cpu, a), seen_b = all_seen(cpu, b);
  const double *from_a = seen_a.data() + 1, *from_b = seen_b.data() + 1;
  double worst = 0;
  bool outside = true;
  const float before = p.add ? 0.5f : poison;
  for (long q = 0; q < p.batch; ++q)
    for (long i = 0; i < p.m; ++i) {
      for (long j = 0; j < row_c; ++j) {
        const float got = g.c[q * g.c_batch + i * row_c + j];
        if (j >= p.n) {
          outside &= std::bit_cast<int>(got) == std::bit_cast<int>(before);
          continue;
        }
        double want = p.add ? 0.5 : 0.0, size = std::abs(want);
        if (p.bias) want += bias[static_cast<size_t>(j)];
        for (long l = 0; l < p.k; ++l) {
          const double term =
              from_a[q * g.a_batch + i * g.a_row + l * g.a_col] * from_b[q * g.b_batch + l * g.b_row + j * g.b_col];
          want += term;
          size += std::abs(term);
        }
        const double error = std::abs(got - want) / (size + 1);
        if (!(error <= worst)) worst = error;
      }
    }
  INFO(by.name << " " << p.a << p.b << " m " << p.m << " n " << p.n << " k " << p.k << " batch " << p.batch << " add "
               << p.add << " bias " << p.bias << " gap " << p.gap << " threads " << cpu.threads);
  // A sum of k products errs by at most k half-ulps of the sum of their sizes; blocks and lanes make it much less.
  // Products of rounded operands are exact, and summed up in single precision too.
  CHECK(worst <= 6e-8 * (3 + 0.25 * static_cast<double>(p.k)));
  CHECK(outside);
  return c;
}

void run_everywhere(const Problem& p, std::initializer_list<int> more_threads = {2, 3, 7}) {
  for (Multiplier by : multipliers()) {
    by.cpu.threads = 1;
    const auto one = run(by, p);
    for (int threads : more_threads) {
      by.cpu.threads = threads;
      const auto many = run(by, p, false);  // the same bits as what was checked
      CHECK(std::memcmp(one.data(), many.data(), one.size() * sizeof(float)) == 0);
    }
  }
}

TEST_CASE("gemm agrees with double precision at odd sizes, whatever the layout") {
  for (long m : {0L, 1L, 2L, 5L, 13L, 15L, 17L, 29L, 70L})
    for (long n : {0L, 1L, 3L, 8L, 17L, 33L, 65L})
      for (long k : {0L, 1L, 2L, 17L, 40L})
        for (const char* layout : {"nn", "nt", "tn", "tt"})
          run_everywhere({.m = m, .n = n, .k = k, .a = layout[0], .b = layout[1], .gap = (m + n + k) % 3}, {});
}

TEST_CASE("gemm adds to c and adds a bias") {
  for (const char* layout : {"nn", "nt", "tn", "tt"})
    for (long m : {1L, 3L, 9L, 20L, 90L})
      for (long n : {1L, 5L, 31L, 80L})
        for (int mode = 1; mode < 4; ++mode)
          run_everywhere({.m = m,
                          .n = n,
                          .k = 37,
                          .a = layout[0],
                          .b = layout[1],
                          .add = (mode & 1) != 0,
                          .bias = (mode & 2) != 0,
                          .gap = 2},
                         {2});
}

TEST_CASE("gemm walks over several blocks of k, rows and columns") {
  for (const char* layout : {"nn", "nt", "tn", "tt"}) {
    run_everywhere({.m = 31, .n = 1100, .k = 300, .a = layout[0], .b = layout[1], .bias = true});
    run_everywhere({.m = 5, .n = 70, .k = 1024, .a = layout[0], .b = layout[1], .add = true});
    run_everywhere({.m = 300, .n = 40, .k = 2048, .a = layout[0], .b = layout[1], .bias = true});
  }
}

TEST_CASE("gemm walks over several blocks of pairs") {
  for (const char* layout : {"nn", "nt", "tn", "tt"})
    for (long k : {1024L, 1025L, 1027L, 3001L})
      run_everywhere({.m = 20, .n = 70, .k = k, .a = layout[0], .b = layout[1], .add = true, .bias = true}, {2});
  run_everywhere({.m = 3, .n = 70, .k = 1031, .a = 'n', .b = 't'});
  run_everywhere({.m = 300, .n = 5, .k = 1031, .a = 'n', .b = 't', .bias = true});
}

TEST_CASE("products in bf16 round to nearest even, keep NaN and infinity, and take subnormal numbers for zero") {
  const float inf = std::numeric_limits<float>::infinity(), most = std::numeric_limits<float>::max();
  const float last = 0x1p-8f;  // half of the last place of 1
  const std::vector<std::pair<float, float>> rounded = {
      {1.0f, 1.0f},
      {1 + last, 1.0f},                            // a tie: down to the even neighbour
      {1 + 3 * last, 1 + 4 * last},                // a tie: up to it
      {1 + last * 1.0001f, 1 + 2 * last},          // just above a tie
      {1 + last * 0.9999f, 1.0f},                  // just below
      {-1 - 3 * last, -1 - 4 * last},              //
      {2 - last / 2, 2.0f},                        // into the next power of two
      {0x1.fep127f, 0x1.fep127f},                  // the largest bfloat16
      {0x1.fefffep127f, 0x1.fep127f},              // just below the tie with infinity
      {most, inf},                                 //
      {-most, -inf},                               //
      {inf, inf},                                  //
      {-inf, -inf},                                //
      {poison, poison},                            //
      {-poison, poison},                           //
      {std::bit_cast<float>(0x7f800001), poison},  // the low bits alone say NaN; cut off, they would leave infinity
      {std::bit_cast<float>(0x7fffffff), poison},  // adding half a place would overflow into the sign
      {0x1p-126f, 0x1p-126f},                      // the smallest normal number
      // Subnormal. (Of those that would round up to a normal number, processors make zero or that number.)
      {0x1.fp-127f, 0.0f},
      {1e-42f, 0.0f},
      {0.0f, 0.0f},
  };
  for (const auto& [name, cpu, multiply] : multipliers()) {
    if (cpu.precision != Precision::bf16) continue;
    // Tiles, dot products, both sides: x times one, beside zeros.
    for (long m : {1L, 40L})
      for (bool on_a : {true, false})
        for (const auto& [x, want] : rounded) {
          const long n = 41 - m, k = 1;
          std::vector<float> a(static_cast<size_t>(m), on_a ? x : 1.0f), b(static_cast<size_t>(n), on_a ? 1.0f : x);
          std::vector<float> c(static_cast<size_t>(m * n), poison);
          multiply(cpu, Gemm<float>{.m = m,
                                    .n = n,
                                    .k = k,
                                    .a = a.data(),
                                    .a_row = k,
                                    .b = b.data(),
                                    .b_row = 1,
                                    .b_col = k,
                                    .c = c.data(),
                                    .c_row = n});
          INFO(name << " m " << m << " x " << x);
          for (float got : c) CHECK((got == want || (got != got && want != want)));
        }
  }
}

TEST_CASE("bf16 gives the same numbers on every instruction set where sums are exact") {
  // Whole numbers up to 512, at most 64 products: every sum stays below 2^24 and is exact, in whatever order.
  std::mt19937 generator(7);
  const auto whole = [&](long n) {
    std::vector<float> x(static_cast<size_t>(n));
    // 9 binary digits: about half of them are rounded.
    for (float& v : x) v = static_cast<float>(static_cast<int>(generator() % 1023) - 511);
    return x;
  };
  for (const auto& [m, n, k] : {std::array{37L, 53L, 61L}, {3L, 90L, 64L}, {30L, 100L, 33L}, {200L, 33L, 63L}})
    for (bool columns : {false, true}) {
      const auto a = whole(m * k), b = whole(n * k);
      std::vector<float> first;
      for (const auto& [name, cpu, multiply] : multipliers()) {
        if (cpu.precision != Precision::bf16) continue;
        std::vector<float> c(static_cast<size_t>(m * n), poison);
        multiply(cpu, Gemm<float>{.m = m,
                                  .n = n,
                                  .k = k,
                                  .a = a.data(),
                                  .a_row = columns ? 1 : k,
                                  .a_col = columns ? m : 1,
                                  .b = b.data(),
                                  .b_row = columns ? n : 1,
                                  .b_col = columns ? 1 : k,
                                  .c = c.data(),
                                  .c_row = n});
        if (first.empty()) first = c;
        INFO(name << " m " << m << " columns " << columns);
        CHECK(std::memcmp(first.data(), c.data(), c.size() * sizeof(float)) == 0);
      }
    }
}

TEST_CASE("gemm runs batches, and rows that overlap") {
  for (const char* layout : {"nn", "nt", "tn", "on", "ot"})
    for (long batch : {2L, 5L, 9L})
      run_everywhere(
          {.m = 33, .n = 19, .k = 24, .batch = batch, .a = layout[0], .b = layout[1], .bias = true, .gap = 3});
}

struct OneMatrix {
  Param<Cpu, 2> weight;
  static void visit(auto& self, auto&& f) { f("weight", self.weight); }
};

/// (m, k) numbers times the weights (n, k), with a bias; from `packed` weights or not.
std::vector<float> linear_map(Multiplier by, const OneMatrix& model, const std::vector<float>& a,
                              const std::vector<float>& bias, const PackedWeights* packed) {
  const long n = model.weight.shape()[0], k = model.weight.shape()[1], m = static_cast<long>(a.size()) / k;
  by.cpu.packed = packed;
  std::vector<float> c(static_cast<size_t>(m * n), poison);
  by.gemm(by.cpu, Gemm<float>{.m = m,
                              .n = n,
                              .k = k,
                              .a = a.data(),
                              .a_row = k,
                              .b = model.weight.tensor().data(),
                              .b_row = 1,
                              .b_col = k,
                              .c = c.data(),
                              .c_row = n,
                              .bias = bias.data()});
  return c;
}

TEST_CASE("weights that were packed before give the same bits") {
  Context<Cpu> ctx;
  for (const auto& [n, k] : {std::pair{70L, 61L}, {300L, 33L}, {129L, 2048L}, {40L, 1500L}, {5L, 7L}}) {
    const OneMatrix model{make_param(ctx, Shape<2>{n, k}, Init::normal(1))};
    const PackedWeights packed(model);
    CHECK(packed.count() == (can_run(Bf16Unit::avx512) ? 1 : 0));
    const auto bias = numbers(n, 2);
    for (const long m : {1L, 3L, 8L, 9L, 40L, 65L, 200L, 300L}) {
      const auto a = numbers(m * k, 1);
      for (Multiplier by : multipliers())
        for (const int threads : {1, 3}) {
          by.cpu.threads = threads;
          INFO(by.name << " m " << m << " n " << n << " k " << k << " threads " << threads);
          const auto without = linear_map(by, model, a, bias, nullptr), with = linear_map(by, model, a, bias, &packed);
          CHECK(std::memcmp(without.data(), with.data(), with.size() * sizeof(float)) == 0);
          if (by.cpu.precision != Precision::fp32) continue;
          const PackedWeights slivers(model, Precision::fp32, by.cpu.isa);
          REQUIRE(slivers.count() == 1);
          const auto found = linear_map(by, model, a, bias, &slivers);
          CHECK(std::memcmp(without.data(), found.data(), found.size() * sizeof(float)) == 0);
        }
    }
  }
}

TEST_CASE("packed weights are found by place and shape, and rounded as products round them") {
  Context<Cpu> ctx;
  const OneMatrix model{make_param(ctx, Shape<2>{3, 5}, Init::normal(1))};
  float* w = model.weight.tensor().data();
  w[1] = 1 + 3 * 0x1p-8f, w[2] = 1e-42f, w[3] = poison, w[4] = -0x1.fefffep127f;
  const PackedWeights packed(model);
  CHECK(to_bf16(w[1]) == 0x3f82);
  CHECK(to_bf16(w[2]) == 0);
  CHECK((to_bf16(w[3]) & 0x7fff) > 0x7f80);
  CHECK(to_bf16(w[4]) == 0xff7f);
  CHECK(packed.find(w + 1) == nullptr);
  if (!can_run(Bf16Unit::avx512)) return;
  REQUIRE(packed.find(w) != nullptr);
  CHECK(packed.find(w)->rows == 3);
  CHECK(packed.bytes() > 0);
  const auto* words = static_cast<const std::uint16_t*>(packed.find(w)->words.data());
  for (long p = 0; p < 5; ++p) CHECK(words[p] == to_bf16(w[p]));
  CHECK(words[5] == 0);
}

}  // namespace
