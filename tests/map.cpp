// Elementwise kernels: every length and alignment, gaps between rows, set and add, every instruction set and thread
// count.
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <random>
#include <string>
#include <vector>

#include "catch.hpp"
#include "kernels/isas.hpp"
#include "phonaut/core/dual.hpp"
#include "phonaut/core/error.hpp"
#include "phonaut/ops/formula/activation.hpp"
#include "phonaut/ops/formula/elementary.hpp"
#include "phonaut/ops/formula/log_plus.hpp"
#include "phonaut/ops/formula/swoosh.hpp"

namespace {
using namespace phonaut;

constexpr float poison = std::numeric_limits<float>::quiet_NaN();

std::vector<float> numbers(long n, unsigned seed) {
  std::mt19937 generator(seed);
  std::normal_distribution<float> normal(0.5f, 2.0f);
  std::vector<float> x(static_cast<size_t>(n));
  for (float& v : x) v = normal(generator);
  return x;
}

// Rounding of a few functions and products, relative to the sizes that meet in the formula (they may cancel: SwooshL
// subtracts numbers of the size of x).
bool near(float got, double want, double x) {
  return std::abs(got - want) <= 1e-6 * (1 + std::abs(x) + std::abs(want));
}

template <class F>
void check(F f, const Cpu& cpu, long rows, long width, long gap, long offset, bool positive) {
  const long stride = width + gap, n = rows * stride;
  auto x = numbers(n + offset, 1), dy = numbers(n + offset, 2);
  if (positive)
    for (float& v : x) v = std::abs(v) + 0.1f;
  const Shape<2> shape{rows, width}, strides{stride, 1};
  const View<const float, 2> xv(x.data() + offset, shape, strides), dyv(dy.data() + offset, shape, strides);

  std::vector<float> y(static_cast<size_t>(n + offset), poison);
  map_forward(cpu, f, xv, View<float, 2>(y.data() + offset, shape, strides));
  bool values = true, gaps = true;
  for (long i = 0; i < n; ++i) {
    const float got = y[static_cast<size_t>(offset + i)];
    const double at = x[static_cast<size_t>(offset + i)];
    if (i % stride < width) values &= near(got, f.value(at), at);
    else gaps &= std::isnan(got);
  }
  INFO(name_of(cpu.isa) << " rows " << rows << " width " << width << " gap " << gap << " offset " << offset);
  CHECK(values);
  CHECK(gaps);
  for (bool add : {false, true}) {
    std::vector<float> dx(static_cast<size_t>(rows * width + offset + 1), add ? 3.0f : poison);
    map_backward(cpu, f, dyv, xv, Sink<float, 2>(dx.data() + offset, shape, add));
    bool right = true;
    for (long r = 0; r < rows; ++r)
      for (long c = 0; c < width; ++c) {
        const double at = xv.row(r)[c], want = dyv.row(r)[c] * f.slope(at) + (add ? 3 : 0);
        right &= near(dx[static_cast<size_t>(offset + r * width + c)], want, at);
      }
    CHECK(right);
    const float behind = dx.back();
    CHECK((add ? behind == 3.0f : std::isnan(behind)));
  }
  map_backward(cpu, f, dyv, xv, Sink<float, 2>{});  // nobody asked: nothing to do
}

template <class F>
void check_everywhere(F f, bool positive = false) {
  for (Isa isa : testing::isas()) {
    Cpu cpu;
    cpu.isa = isa;
    cpu.threads = 1;
    for (long width = 0; width <= 33; ++width) {
      check(f, cpu, 1, width, 0, width % 5, positive);
      check(f, cpu, 3, width, width % 3, 1, positive);
    }
  }
  // The derivative beside the function is the derivative of the function.
  for (double x : {-30.0, -3.1, -0.7, 0.3, 0.9, 4.2, 25.0}) {
    if (positive) x = std::abs(x);
    const double exact = f.value(Dual(x, 1)).slope;
    CHECK(f.slope(x) == Approx(exact).epsilon(1e-12).margin(1e-14));
  }
}

TEST_CASE("elementwise kernels agree with their formulas") {
  check_everywhere(formula::SwooshL{});
  check_everywhere(formula::SwooshR{});
  check_everywhere(formula::Exp{});
  check_everywhere(formula::Expm1{});
  check_everywhere(formula::Log{}, true);
  check_everywhere(formula::Log1p{}, true);
  check_everywhere(formula::LogPlus{0.5f}, true);
  check_everywhere(formula::Sqrt{}, true);
  check_everywhere(formula::Square{});
  check_everywhere(formula::Sin{});
  check_everywhere(formula::Cos{});
  check_everywhere(formula::Erf{});
  check_everywhere(formula::Tanh{});
  check_everywhere(formula::Sigmoid{});
  check_everywhere(formula::Softplus{});
  check_everywhere(formula::Relu{});
  check_everywhere(formula::LeakyRelu{0.2f});
  check_everywhere(formula::Elu{1.3f});
  check_everywhere(formula::Silu{});
  check_everywhere(formula::Gelu{});
}

TEST_CASE("elementwise kernels give equal bits on any number of threads", "[threads]") {
  const long rows = 301, width = 257;
  const auto x = numbers(rows * (width + 3), 3);
  for (Isa isa : testing::isas())
    for (long gap : {0L, 3L}) {
      const View<const float, 2> xv(x.data(), {rows, width}, {width + gap, 1});
      std::vector<float> one(static_cast<size_t>(rows * width)), many(one.size(), poison);
      Cpu cpu;
      cpu.isa = isa;
      cpu.threads = 1;
      map_forward(cpu, formula::SwooshR{}, xv, View<float, 2>(one.data(), {rows, width}));
      for (int threads : {2, 3, 8}) {
        cpu.threads = threads;
        map_forward(cpu, formula::SwooshR{}, xv, View<float, 2>(many.data(), {rows, width}));
        CHECK(std::memcmp(one.data(), many.data(), one.size() * sizeof(float)) == 0);
      }
    }
}

TEST_CASE("an instruction set can be asked for by name") {
  CHECK(can_run(Isa::baseline));
  CHECK(std::string(name_of(Isa::avx2)) == "avx2");
  const char* set = std::getenv("PHONAUT_ISA");
  const std::string before = set ? set : "";
  setenv("PHONAUT_ISA", "baseline", 1);
  CHECK(best_isa() == Isa::baseline);
  CHECK(Cpu{}.isa == Isa::baseline);
  setenv("PHONAUT_ISA", "sse9", 1);
  CHECK_THROWS_AS(best_isa(), ConfigError);
  setenv("PHONAUT_ISA", "", 1);
  CHECK(can_run(best_isa()));
  if (set) setenv("PHONAUT_ISA", before.c_str(), 1);
  else unsetenv("PHONAUT_ISA");
}

}  // namespace
