// The matrix product of every instruction set against double precision: layouts, odd sizes, strides, batches, threads.
#include <bit>
#include <cmath>
#include <cstring>
#include <limits>
#include <random>
#include <vector>

#include "catch.hpp"
#include "kernels/isas.hpp"
#include "phonaut/ops/gemm.hpp"

namespace {
using namespace phonaut;
using kernel::Gemm;

constexpr float poison = std::numeric_limits<float>::quiet_NaN();

struct Problem {
  long m, n, k, batch = 1;
  char a = 'n', b = 'n';  ///< n: rows of consecutive numbers, t: columns, o (a only): rows that overlap
  bool add = false, bias = false;
  long gap = 0;  ///< unused elements between rows
};

std::vector<float> numbers(long n, unsigned seed) {
  std::mt19937 generator(seed);
  std::normal_distribution<float> normal;
  std::vector<float> x(static_cast<size_t>(n));
  for (float& v : x) v = normal(generator);
  return x;
}

// Runs `p` on `cpu` and returns all of c's memory, gaps included; checks it against double precision.
std::vector<float> run(const Cpu& cpu, const Problem& p) {
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
  gemm(cpu, g);

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
          const double term = static_cast<double>(g.a[q * g.a_batch + i * g.a_row + l * g.a_col]) *
                              static_cast<double>(g.b[q * g.b_batch + l * g.b_row + j * g.b_col]);
          want += term;
          size += std::abs(term);
        }
        const double error = std::abs(got - want) / (size + 1);
        if (!(error <= worst)) worst = error;
      }
    }
  INFO(name_of(cpu.isa) << " " << p.a << p.b << " m " << p.m << " n " << p.n << " k " << p.k << " batch " << p.batch
                        << " add " << p.add << " bias " << p.bias << " gap " << p.gap << " threads " << cpu.threads);
  // A sum of k products errs by at most k half-ulps of the sum of their sizes; blocks and lanes make it much less.
  CHECK(worst <= 6e-8 * (3 + 0.25 * static_cast<double>(p.k)));
  CHECK(outside);
  return c;
}

void run_everywhere(const Problem& p, std::initializer_list<int> more_threads = {2, 3, 7}) {
  for (Isa isa : testing::isas()) {
    Cpu cpu;
    cpu.isa = isa;
    cpu.threads = 1;
    const auto one = run(cpu, p);
    for (int threads : more_threads) {
      cpu.threads = threads;
      const auto many = run(cpu, p);
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

TEST_CASE("gemm runs batches, and rows that overlap") {
  for (const char* layout : {"nn", "nt", "tn", "on", "ot"})
    for (long batch : {2L, 5L, 9L})
      run_everywhere(
          {.m = 33, .n = 19, .k = 24, .batch = batch, .a = layout[0], .b = layout[1], .bias = true, .gap = 3});
}

}  // namespace
