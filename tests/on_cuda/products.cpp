// Matrix products on Cuda: layouts, biases and batches against double precision, and what each precision rounds.
#include <algorithm>
#include <cmath>
#include <random>
#include <string>
#include <vector>

#include "catch.hpp"
#include "floats.hpp"
#include "no_gpu.hpp"
#include "numbers.hpp"
#include "phonaut/ops/gemm.hpp"
#ifdef PHONAUT_EMULATE_GPU
#include "emulator.hpp"
#include "libraries.hpp"
#include "recent.cuh"
#endif

using namespace phonaut;
using kernel::Gemm;
using testing::Floats;
using testing::no_gpu;
using testing::numbers;

namespace {

struct Problem {
  long m, n, k, batch = 1;
  char a = 'n', b = 'n';  ///< n: rows of consecutive numbers, t: columns, o: rows that overlap
  bool add = false, bias = false;
  long gap = 0;  ///< unused elements between rows
  kernel::Activation activation = kernel::Activation::none;
  long off = 1;  ///< elements before the first one: 0 is aligned, 1 is not
};

/// Errors of one product, in units of Σ |a| |b| of each element. A float's own rounding is 6e-8.
struct Errors {
  double plain = 0;    ///< against the exact product
  double rounded = 0;  ///< against the exact product of factors that are rounded as the precision says
};

double to_digits(double x, int digits, bool ties_to_even) {
  if (x == 0) return 0;
  int exponent = 0;
  const double fraction = std::ldexp(std::frexp(x, &exponent), digits + 1);  // 2^digits <= |fraction| < 2^(digits + 1)
  const double whole = ties_to_even ? std::nearbyint(fraction) : std::round(fraction);
  return std::ldexp(whole, exponent - digits - 1);
}
double seen(float x, Precision precision) {
  if (precision == Precision::tf32) return to_digits(static_cast<double>(x), 10, false);
  if (precision == Precision::bf16) return to_digits(static_cast<double>(x), 7, true);
  return static_cast<double>(x);
}

/// Runs `p`; checks that gaps between rows stay as they were.
Errors run(const Problem& p, Precision precision) {
  const long inner_a = p.a == 't' ? p.m : p.k, outer_a = p.a == 't' ? p.k : p.m;
  const long inner_b = p.b == 't' ? p.k : p.n, outer_b = p.b == 't' ? p.n : p.k;
  const long row_a = p.a == 'o' ? std::max(1L, p.k / 3) : inner_a + p.gap,
             row_b = p.b == 'o' ? std::max(1L, p.n / 3) : inner_b + p.gap;
  Gemm<float> g{.m = p.m, .n = p.n, .k = p.k};
  g.a_row = p.a == 't' ? 1 : row_a;
  g.a_col = p.a == 't' ? row_a : 1;
  g.b_row = p.b == 't' ? 1 : row_b;
  g.b_col = p.b == 't' ? row_b : 1;
  g.c_row = p.n + p.gap;
  g.batch = p.batch;
  g.a_batch = outer_a * row_a + 5;
  g.b_batch = outer_b * row_b + 3;
  g.c_batch = p.m * g.c_row + 1;
  g.add = p.add;
  g.activation = p.activation;
  const auto a = numbers(p.batch * g.a_batch + p.k + p.off, 1), b = numbers(p.batch * g.b_batch + p.n + p.off, 2);
  const auto bias = numbers(p.n, 3), before = numbers(p.batch * g.c_batch + p.off, 4);
  const Floats on_a(a), on_b(b), on_bias(bias), on_c(before);
  g.a = on_a.memory.data() + p.off;
  g.b = on_b.memory.data() + p.off;
  g.c = on_c.memory.data() + p.off;
  if (p.bias) g.bias = on_bias.memory.data();
  kernel::gemm(Cuda{nullptr, precision}, g);
  const auto c = on_c.values();

  Errors errors;
  auto gaps = before;
  for (long q = 0; q < p.batch; ++q)
    for (long i = 0; i < p.m; ++i)
      for (long j = 0; j < p.n; ++j) {
        const auto at = static_cast<size_t>(p.off + q * g.c_batch + i * g.c_row + j);
        const double start = (p.add ? static_cast<double>(before[at]) : 0) +
                             (p.bias ? static_cast<double>(bias[static_cast<size_t>(j)]) : 0);
        double plain = start, rounded = start, size = std::fabs(start) + 1e-30;
        for (long r = 0; r < p.k; ++r) {
          const float x = a[static_cast<size_t>(p.off + q * g.a_batch + i * g.a_row + r * g.a_col)];
          const float y = b[static_cast<size_t>(p.off + q * g.b_batch + r * g.b_row + j * g.b_col)];
          plain += static_cast<double>(x) * static_cast<double>(y);
          rounded += seen(x, precision) * seen(y, precision);
          size += std::fabs(static_cast<double>(x) * static_cast<double>(y));
        }
        kernel::with_formula(p.activation, [&](auto f) {
          plain = f.value(plain);
          rounded = f.value(rounded);
        });
        const auto count = [&](double& worst, double want) {
          const double off = std::fabs(static_cast<double>(c[at]) - want) / size;
          if (!(off <= worst)) worst = off;  // NaN is worse than any
        };
        count(errors.plain, plain);
        count(errors.rounded, rounded);
        gaps[at] = c[at];
      }
  CHECK(gaps == c);
  return errors;
}

std::vector<Problem> problems() {
  std::vector<Problem> all;
  for (const char a : {'n', 't'})
    for (const char b : {'n', 't'})
      for (const bool add : {false, true})
        for (const bool bias : {false, true}) {
          all.push_back({7, 5, 33, 1, a, b, add, bias});
          all.push_back({32, 48, 64, 3, a, b, add, bias, 4, kernel::Activation::none, 0});
        }
  for (const auto f : {kernel::Activation::relu, kernel::Activation::silu, kernel::Activation::gelu,
                       kernel::Activation::tanh, kernel::Activation::swoosh_l, kernel::Activation::swoosh_r})
    for (const bool bias : {false, true}) all.push_back({17, 9, 24, 2, 'n', 't', bias, bias, 2, f});
  // Single rows and columns, whose strides say nothing; a batch of many small ones.
  all.push_back({1, 9, 20, 1, 'n', 't', false, true});
  all.push_back({9, 1, 20, 1, 't', 'n', false, true});
  all.push_back({4, 4, 1, 2});
  all.push_back({3, 3, 8, 40, 'n', 't', true, false});
  return all;
}

/// A sum of up to 100 products in single precision, whatever its order, is off by no more than as many roundings, in
/// fact by few.
/// Activations have slopes of at most 1.13.
constexpr double sums = 1e-6;

std::string text(const Problem& p, Precision precision) {
  return concat(p.m, " x ", p.k, " x ", p.n, ", batch ", p.batch, ", a ", p.a, ", b ", p.b, p.add ? ", add" : "",
                p.bias ? ", bias" : "", p.gap > 0 ? ", gaps" : "", ", activation ", static_cast<int>(p.activation),
                " in ", name_of(precision));
}

}  // namespace

TEST_CASE("a product on Cuda is that of its factors, rounded to what the precision keeps of them", "[gemm]") {
  if (no_gpu()) return;
  for (const Problem& p : problems())
    for (const Precision precision : {Precision::fp32, Precision::int8, Precision::tf32, Precision::bf16}) {
      INFO(text(p, precision));
      const Errors errors = run(p, precision);
      // Each factor is off by half of its last digit: 2^-11 or 2^-8, twice. Full precision shows none of that.
      const double rounding = precision == Precision::tf32 ? 0x1p-10 : precision == Precision::bf16 ? 0x1p-7 : 0;
#ifdef PHONAUT_EMULATE_GPU
      CHECK(errors.plain <= 1.13 * rounding + sums);
      CHECK(errors.rounded <= sums);
      if (rounding > 0 && p.k > 1 && p.activation == kernel::Activation::none) CHECK(errors.plain > rounding / 64);
#else
      // A GPU may cut digits off instead of rounding them, or keep more than it has to.
      CHECK(errors.plain <= 2.26 * rounding + sums);
#endif
    }
}

TEST_CASE("narrow rows that overlap are multiplied in single precision, whatever is asked for", "[gemm]") {
  if (no_gpu()) return;
  for (const Precision precision : {Precision::fp32, Precision::tf32, Precision::bf16})
    for (const bool bias : {false, true}) {
      const Problem p{70,  9,    12,   2, 'o',
                      't', bias, bias, 0, bias ? kernel::Activation::none : kernel::Activation::gelu};
      INFO(text(p, precision));
      CHECK(run(p, precision).plain <= sums);
    }
}

TEST_CASE("wide rows that overlap are products of strips", "[gemm]") {
  if (no_gpu()) return;
  for (const Precision precision : {Precision::fp32, Precision::tf32, Precision::bf16})
    for (const bool bias : {false, true}) {
      const auto f = bias ? kernel::Activation::none : kernel::Activation::silu;
      // a: 3 strips of 33 and one of 1 along the sum; b: 3 strips of 32 along the rows of the result; then both.
      for (const Problem& p :
           {Problem{21, 9, 100, 2, 'o', 't', bias, bias, 0, f}, Problem{9, 96, 20, 2, 't', 'o', bias, bias, 3, f},
            Problem{5, 98, 96, 1, 'o', 'o', bias, bias, 0, f}, Problem{1, 9, 100, 1, 'o', 'n', bias, bias, 0, f}}) {
        INFO(text(p, precision));
        const double rounding = precision == Precision::tf32 ? 0x1p-10 : precision == Precision::bf16 ? 0x1p-7 : 0;
#ifdef PHONAUT_EMULATE_GPU
        const long strips = p.m == 1 ? 1
                                     : (p.a == 'o' ? (p.k + p.k / 3 - 1) / (p.k / 3) : 1) *
                                           (p.b == 'o' ? (p.n + p.n / 3 - 1) / (p.n / 3) : 1);
        const long before = emulator::libraries().products;
        CHECK(run(p, precision).rounded <= sums);
        CHECK(emulator::libraries().products - before == strips);
#endif
        CHECK(run(p, precision).plain <= 2.26 * rounding + sums);
      }
    }
}

#ifdef PHONAUT_EMULATE_GPU
TEST_CASE("products that cuBLASLt has no algorithm for are computed otherwise", "[gemm]") {
  struct Restore {
    ~Restore() { emulator::libraries().unknown_products = emulator::Unknown::none; }
  } restore;
  for (const auto unknown : {emulator::Unknown::with_epilogue, emulator::Unknown::all}) {
    emulator::libraries().unknown_products = unknown;
    for (const Problem& p : problems()) {
      INFO(text(p, Precision::bf16));
      const long before = emulator::libraries().products;
      const Errors errors = run(p, Precision::bf16);
      const bool by_tiles = unknown == emulator::Unknown::all;
      CHECK(emulator::libraries().products - before == (by_tiles ? 0 : 1));
      CHECK((by_tiles ? errors.plain : errors.rounded) <= sums);
    }
  }
}

TEST_CASE("what was chosen for the products of late is remembered, and no more", "[gemm]") {
  cuda::Recent<int, int> recent(4);
  int made = 0;
  const auto get = [&](int key) {
    return recent.get(key, [&] {
      ++made;
      return 10 * key;
    });
  };
  for (int round = 0; round < 3; ++round)
    for (int key = 0; key < 4; ++key) CHECK(get(key) == 10 * key);
  CHECK(made == 4);
  // One that is used again and again stays, however many come by.
  for (int key = 100; key < 200; ++key) {
    CHECK(get(key) == 10 * key);
    CHECK(get(2) == 20);
    CHECK(recent.size() <= 8);
  }
  CHECK(made == 104);
  CHECK(get(0) == 0);
  CHECK(made == 105);
}
#endif
