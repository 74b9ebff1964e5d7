#include "case.hpp"

namespace {
using namespace phonaut;
using namespace phonaut::testing;

CASES(arithmetic) {
  for (long n : {0L, 1L, 7L, 31L, 4096L}) {
    const auto x = normal(Shape<1>{n}, 1), y = normal(Shape<1>{n}, 2);
    const bool small = n <= 64;
    // One rounding per element.
    add("add " + std::to_string(n), inputs(x, y), [](const auto& a, const auto& b) { return a + b; },
        {.tolerance = eps, .bytes = 12.0 * n, .check = small});
    add("subtract " + std::to_string(n), inputs(x, y), [](const auto& a, const auto& b) { return a - b; },
        {.tolerance = eps, .bytes = 12.0 * n, .check = small});
    add("multiply " + std::to_string(n), inputs(x, y), [](const auto& a, const auto& b) { return a * b; },
        {.tolerance = eps, .bytes = 12.0 * n, .check = small});
    add("scale " + std::to_string(n), inputs(x), [](const auto& a) { return -3 * a; },
        {.tolerance = eps, .bytes = 8.0 * n, .check = small});
    // Sums are kept in double and rounded once; the bound is relative to the sum, which may be small beside its terms.
    add("mean " + std::to_string(n), inputs(x), [](const auto& a) { return mean(a); },
        {.tolerance = 64 * eps, .bytes = 4.0 * n, .check = small});
  }
}

}  // namespace
