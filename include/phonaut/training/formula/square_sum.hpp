#pragma once
// Sums of squares of many arrays at once. Light: the per-instruction-set kernel files include it.
#include "phonaut/core/backend.hpp"
#include "phonaut/core/view.hpp"

namespace phonaut {
namespace kernel {

/// Part of a gradient.
template <class S>
struct Stretch {
  const S* data = nullptr;
  long n = 0;
};

/// totals[k] = Σ x² over stretch k, in double. Element i is added to partial sum i mod 32, and the partial sums are
/// folded in halves: every instruction set does it in this order, and the square of a float is exact in double, so
/// all give the same bits. The stretches lie on the host, `totals` in the backend's memory.
template <class S>
void square_sums(const Reference&, View<const Stretch<S>, 1> stretches, double* totals) {
  for (long k = 0; k < stretches.size(); ++k) {
    double part[32] = {};
    for (long i = 0; i < stretches.data[k].n; ++i) {
      const double x = static_cast<double>(stretches.data[k].data[i]);
      part[i % 32] += x * x;
    }
    for (int half = 16; half > 0; half /= 2)
      for (int j = 0; j < half; ++j) part[j] += part[j + half];
    totals[k] = part[0];
  }
}
void square_sums(const Cpu& cpu, View<const Stretch<float>, 1> stretches, double* totals);
void square_sums(const Cuda& cuda, View<const Stretch<float>, 1> stretches, double* totals);

}  // namespace kernel
}  // namespace phonaut
