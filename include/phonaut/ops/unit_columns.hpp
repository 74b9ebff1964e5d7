#pragma once
// Columns of a matrix at unit length.
#include <cmath>

#include "phonaut/core/backend.hpp"
#include "phonaut/core/view.hpp"
#include "phonaut/ops/wide.hpp"

namespace phonaut::kernel {

/// Divides every column of `a` by its 2-norm, which is summed in double; a column of zeros stays.
template <class S>
void unit_columns(const Reference&, View<S, 2> a) {
  using std::sqrt;
  using W = Wide<S>;
  for (long m = 0; m < a.shape[1]; ++m) {
    W square = 0;
    for (long d = 0; d < a.shape[0]; ++d) square += W(a.row(d)[m]) * W(a.row(d)[m]);
    if (!(square > W(0))) continue;
    const W inverse = W(1) / sqrt(square);
    for (long d = 0; d < a.shape[0]; ++d) a.row(d)[m] = S(W(a.row(d)[m]) * inverse);
  }
}
void unit_columns(const Cpu& cpu, View<float, 2> a);
void unit_columns(const Cuda& cuda, View<float, 2> a);

}  // namespace phonaut::kernel
