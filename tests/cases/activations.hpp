#include "case.hpp"
#include "phonaut/ops/activations.hpp"

namespace {
using namespace phonaut;
using namespace phonaut::testing;

CASES(activations) {
  const auto all = [&](const std::string& name, const auto& call, Limits limits, double deviation = 2,
                       double mean = 0) {
    for (long n : {1L, 5L, 16L, 37L, 65536L}) {
      limits.bytes = 8.0 * static_cast<double>(n);
      limits.check = n < 100;
      add(name + " " + std::to_string(n), inputs(normal(Shape<1>{n}, 1, deviation, mean)), call, limits);
    }
  };
  // The SIMD functions are good to 2 ulp (kernels/cpu/simd_math.hpp) and each formula adds a rounding or two. The bound
  // is relative to the largest of a tensor; a tensor of one element gets no help from larger neighbours, which shows
  // where a formula cancels (SiLU's and GELU's slopes cross zero).
  const Limits plain{.tolerance = 4 * eps, .gradient = 8 * eps};
  const Limits cancels{.tolerance = 8 * eps, .gradient = 32 * eps};
  all(
      "gelu", [](const auto& x) { return gelu(x); }, cancels);
  all(
      "silu", [](const auto& x) { return silu(x); }, cancels);
  all(
      "tanh", [](const auto& x) { return tanh(x); }, cancels);
  all(
      "sigmoid", [](const auto& x) { return sigmoid(x); }, plain);
  all(
      "softplus", [](const auto& x) { return softplus(x); }, plain);
  all(
      "relu", [](const auto& x) { return relu(x); }, plain);
  all(
      "leaky_relu", [](const auto& x) { return leaky_relu(x, 0.25f); }, plain);
  all(
      "elu", [](const auto& x) { return elu(x); }, cancels);
  // softplus(x - 4) - 0.08 x - 0.035 subtracts numbers of like size.
  all(
      "swoosh_l", [](const auto& x) { return swoosh_l(x); }, cancels);
  all(
      "swoosh_r", [](const auto& x) { return swoosh_r(x); }, cancels);
  all(
      "exp", [](const auto& x) { return exp(x); }, plain);
  all(
      "log", [](const auto& x) { return log(x); }, cancels, 0.5, 8);
  all(
      "log above a floor", [](const auto& x) { return log(x, 0.5f); }, cancels);
  all(
      "sqrt", [](const auto& x) { return sqrt(x); }, plain, 0.5, 8);
  all(
      "square", [](const auto& x) { return square(x); }, plain);
  all(
      "abs", [](const auto& x) { return abs(x); }, plain);
}

}  // namespace
