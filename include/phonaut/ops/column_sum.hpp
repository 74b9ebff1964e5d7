#pragma once
// Column sums: the gradient of everything that was broadcast over rows (biases, gains).
#include "phonaut/core/backend.hpp"
#include "phonaut/core/view.hpp"

namespace phonaut::kernel {

/// y[c] = Σ_r x[r, c].
template <class S>
void column_sum(const Reference&, View<const S, 2> x, Sink<S, 1> y) {
  for (long c = 0; c < x.shape[1]; ++c) {
    S total = 0;
    for (long r = 0; r < x.shape[0]; ++r) total += x.row(r)[c];
    y.put(c, total);
  }
}
void column_sum(const Cpu&, View<const float, 2> x, Sink<float, 1> y);
void column_sum(const Cuda&, View<const float, 2> x, Sink<float, 1> y);

}  // namespace phonaut::kernel
