// The elementary functions of kernels/cpu/simd_math.hpp, through the elementwise kernels, against double precision.
#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <thread>
#include <vector>

#include "catch.hpp"
#include "kernels/isas.hpp"
#include "phonaut/ops/formula/activation.hpp"
#include "phonaut/ops/formula/elementary.hpp"

namespace {
using namespace phonaut;

double sigmoid(double x) { return x >= 0 ? 1 / (1 + std::exp(-x)) : std::exp(x) / (1 + std::exp(x)); }
double softplus(double x) { return x > 0 ? x + std::log1p(std::exp(-x)) : std::log1p(std::exp(x)); }

struct Function {
  const char* name;
  void (*run)(const Cpu&, View<const float, 2>, View<float, 2>);
  double (*truth)(double);
  double bound;  ///< in units in the last place, as simd_math.hpp promises
};
template <class F>
void run(const Cpu& cpu, View<const float, 2> x, View<float, 2> y) {
  map_forward(cpu, F{}, x, y);
}
const Function functions[] = {
    {"exp", run<formula::Exp>, std::exp, 1.04},       {"expm1", run<formula::Expm1>, std::expm1, 2},
    {"log", run<formula::Log>, std::log, 1},          {"log1p", run<formula::Log1p>, std::log1p, 1.01},
    {"sigmoid", run<formula::Sigmoid>, sigmoid, 2.5}, {"softplus", run<formula::Softplus>, softplus, 2},
    {"tanh", run<formula::Tanh>, std::tanh, 2.7},     {"erf", run<formula::Erf>, std::erf, 1.3},
    {"sin", run<formula::Sin>, std::sin, 2.4},        {"cos", run<formula::Cos>, std::cos, 2.4},
};

// The distance of neighbouring floats at `x`, which lies in the range of floats.
double spacing(double x) {
  const double a = std::abs(x);
  if (a < static_cast<double>(std::numeric_limits<float>::min())) return std::ldexp(1.0, -149);
  int exponent;
  std::frexp(a, &exponent);
  return std::ldexp(1.0, exponent - 24);
}

// Error in ulp; infinite where only one of them is NaN, or an infinity is wrong. A value that rounds to infinity may
// also be the largest float, and the other way round.
double error(float got, double want) {
  const float rounded = static_cast<float>(want);
  if (std::isnan(got) || std::isnan(rounded)) return std::isnan(got) == std::isnan(rounded) ? 0 : INFINITY;
  if (std::isinf(got) || std::isinf(rounded)) {
    if (got == rounded) return 0;
    const double largest = static_cast<double>(std::numeric_limits<float>::max());
    const bool edge =
        std::isfinite(want) && std::abs(want) > 0.9999999 * largest && std::abs(want) < 1.0000001 * largest;
    return edge ? 0 : INFINITY;
  }
  return std::abs(static_cast<double>(got) - want) / spacing(want);
}

struct Worst {
  double error = 0;
  float at = 0, got = 0;
};

// Every `stride`-th bit pattern of [first, last) on every instruction set.
std::vector<Worst> sweep(const Function& f, const std::vector<Isa>& isas, std::uint64_t first, std::uint64_t last,
                         std::uint64_t stride) {
  constexpr size_t batch = 4096;
  std::vector<float> x(batch), y(batch);
  std::vector<double> want(batch);
  std::vector<Worst> worst(isas.size());
  Cpu cpu;
  cpu.threads = 1;
  for (std::uint64_t bits = first; bits < last;) {
    size_t n = 0;
    for (; n < batch && bits < last; ++n, bits += stride) {
      const auto pattern = static_cast<std::uint32_t>(bits);
      std::memcpy(&x[n], &pattern, 4);
      want[n] = f.truth(static_cast<double>(x[n]));
    }
    const Shape<2> shape{1, static_cast<long>(n)};
    for (size_t i = 0; i < isas.size(); ++i) {
      cpu.isa = isas[i];
      f.run(cpu, View<const float, 2>(x.data(), shape), View<float, 2>(y.data(), shape));
      for (size_t j = 0; j < n; ++j)
        if (const double e = error(y[j], want[j]); !(e <= worst[i].error)) worst[i] = {e, x[j], y[j]};
    }
  }
  return worst;
}

void check(const Function& f, std::uint64_t stride) {
  const auto isas = testing::isas();
  const size_t workers = static_cast<size_t>(default_threads());
  std::vector<std::vector<Worst>> found(workers);
  std::vector<std::thread> threads;
  for (size_t w = 0; w < workers; ++w)
    threads.emplace_back([&, w] {
      const std::uint64_t all = std::uint64_t{1} << 32;
      found[w] = sweep(f, isas, all * w / workers, all * (w + 1) / workers, stride);
    });
  for (auto& t : threads) t.join();
  for (size_t i = 0; i < isas.size(); ++i) {
    Worst worst;
    for (const auto& part : found)
      if (part[i].error > worst.error) worst = part[i];
    INFO(name_of(isas[i]) << " " << f.name << "(" << worst.at << ") = " << worst.got << ", off by " << worst.error
                          << " ulp");
    CHECK(worst.error <= f.bound);
  }
}

TEST_CASE("SIMD functions stay within their bounds: a sample of all floats") {
  for (const Function& f : functions) check(f, 20011);
}

TEST_CASE("SIMD functions stay within their bounds: every float", "[slow]") {
  for (const Function& f : functions) check(f, 1);
}

TEST_CASE("SIMD functions at the edges") {
  const float inf = INFINITY, nan = NAN;
  Cpu cpu;
  for (Isa isa : testing::isas()) {
    cpu.isa = isa;
    const auto at = [&](auto f, float x) {
      float y = 0;
      map_forward(cpu, f, View<const float, 2>(&x, {1, 1}), View<float, 2>(&y, {1, 1}));
      return y;
    };
    INFO(name_of(isa));
    CHECK(at(formula::Exp{}, -inf) == 0);
    CHECK(at(formula::Exp{}, inf) == inf);
    CHECK(at(formula::Exp{}, -103.0f) > 0);  // a denormal, not flushed
    CHECK(at(formula::Log{}, 0) == -inf);
    CHECK(at(formula::Log{}, inf) == inf);
    CHECK(std::isnan(at(formula::Log{}, -1)));
    CHECK(at(formula::Log1p{}, -1) == -inf);
    CHECK(at(formula::Tanh{}, inf) == 1);
    CHECK(at(formula::Tanh{}, -inf) == -1);
    CHECK(std::signbit(at(formula::Tanh{}, -0.0f)));
    CHECK(at(formula::Sigmoid{}, -inf) == 0);
    CHECK(at(formula::Sigmoid{}, inf) == 1);
    CHECK(at(formula::Softplus{}, -inf) == 0);
    CHECK(at(formula::Softplus{}, inf) == inf);
    CHECK(at(formula::Erf{}, inf) == 1);
    CHECK(std::isnan(at(formula::Sin{}, inf)));
    CHECK(at(formula::Relu{}, -3) == 0);
    CHECK(std::isnan(at(formula::Relu{}, nan)));
    CHECK(std::isnan(at(formula::Exp{}, nan)));
    CHECK(std::isnan(at(formula::Tanh{}, nan)));
    CHECK(std::isnan(at(formula::Softplus{}, nan)));
    CHECK(std::isnan(at(formula::Erf{}, nan)));
  }
}

}  // namespace
