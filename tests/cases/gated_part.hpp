#include "case.hpp"
#include "phonaut/ops/gated_part.hpp"

namespace {
using namespace phonaut;
using namespace phonaut::testing;

CASES(gated_part) {
  struct Sizes {
    long batch, time, channels;
    std::vector<long> lengths;
  };
  for (const Sizes& s : std::vector<Sizes>{{1, 1, 1, {}}, {2, 5, 7, {}}, {3, 4, 33, {4, 0, 2}}, {8, 250, 256, {}}}) {
    const auto frames = [s](const auto& x) {
      using B = typename std::remove_cvref_t<decltype(x)>::Backend;
      Sequence<B> in{x, {}, 0};
      if (!s.lengths.empty()) in.lengths = lengths_of(x.context(), s.lengths);
      return in;
    };
    const std::string name = concat(s.batch, "x", s.time, "x", s.channels, s.lengths.empty() ? "" : " padded");
    const double n = double(s.batch * s.time * s.channels);
    // One exponential of 2 ulp and a product.
    const Limits limits{.tolerance = 8 * eps, .bytes = 12 * n, .flops = 12 * n, .check = s.time <= 10};
    add(
        "sigmoid " + name, inputs(normal(Shape<3>{s.batch, s.time, 2 * s.channels}, 1, 2)),
        [=](const auto& x) {
          return gated_part<formula::SigmoidGate>(frames(x), {.parts = 2, .value = 0, .gate = 1}).frames;
        },
        limits);
    add(
        "tanh " + name, inputs(normal(Shape<3>{s.batch, s.time, 3 * s.channels}, 2)),
        [=](const auto& x) {
          return gated_part<formula::TanhGate>(frames(x), {.parts = 3, .value = 1, .gate = 0}).frames;
        },
        limits);
    add("multiply " + name,
        inputs(normal(Shape<3>{s.batch, s.time, s.channels}, 3), normal(Shape<3>{s.batch, s.time, 3 * s.channels}, 4)),
        [](const auto& m, const auto& x) { return multiply_part(m, x, 3, 2); },
        {.tolerance = eps, .bytes = 12 * n, .flops = n, .check = s.time <= 10});  // one rounding
  }
}

}  // namespace
