#include "case.hpp"
#include "phonaut/losses/cross_entropy.hpp"

namespace {
using namespace phonaut;
using namespace phonaut::testing;

CASES(cross_entropy) {
  for (const Shape<2>& shape : {Shape<2>{1, 1}, {1, 2}, {7, 5}, {9, 33}, {3, 2050}, {2000, 500}})
    for (const double smoothing : {0.0, 0.1})
      for (const Reduction reduction : {Reduction::mean, Reduction::sum}) {
        std::vector<long> labels;
        for (long r = 0; r < shape[0]; ++r) labels.push_back(r % 3 == 2 ? -1 : r * 7 % shape[1]);
        const bool small = shape[0] < 100;
        if (shape[1] == 1 && smoothing != 0) continue;  // the gradient is 0, and its error has no scale
        // Logarithm and exponential to an ulp, of numbers up to 10. Gradients are differences of numbers up to 1, of
        // which little is left where a row is sure of its label.
        add(text(shape) + " smoothing " + std::to_string(smoothing) + (reduction == Reduction::sum ? " sum" : ""),
            inputs(normal(shape, 1, 2)),
            [=](const auto& x) {
              return cross_entropy(x, labels_of(x.context(), labels), {.smoothing = smoothing, .reduction = reduction});
            },
            {.tolerance = 8 * eps,
             .gradient = 128 * eps,
             .bytes = 4.0 * static_cast<double>(element_count(shape)),
             .check = small,
             .time = !small});
      }
  add("nothing counted", inputs(normal(Shape<2>{2, 3}, 1)), [](const auto& x) {
    return sum(x) + cross_entropy(x, labels_of(x.context(), std::vector{-1, -100}));
  });
}

}  // namespace
