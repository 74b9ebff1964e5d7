#pragma once
// Parameters that are kept within a range by turning their gradient round, not by cutting them off.
#include "phonaut/ops/shape.hpp"

namespace phonaut {

namespace kernel {

/// dx = dy, with the other sign where dy would lead x further below `least`, and then where it would lead x further
/// above `most`. (A gradient that is positive makes x smaller.)
template <class S>
void limit_value_backward(const Reference&, View<const S, 1> dy, View<const S, 1> x, S least, S most, Sink<S, 1> dx) {
  for (long i = 0; i < x.size(); ++i) {
    S g = dy.data[i];
    if (g > S(0) && x.data[i] < least) g = -g;
    if (g < S(0) && x.data[i] > most) g = -g;
    dx.put(i, g);
  }
}

void limit_value_backward(const Cuda& cuda, View<const float, 1> dy, View<const float, 1> x, float least, float most,
                          Sink<float, 1> dx);

}  // namespace kernel

/// x itself, the same memory; backward turns the gradient round where following it would take x further out of
/// [least, most]. For parameters (`limit_param_value` of the Zipformer recipe).
template <class B, size_t R>
Var<B, R> limit_value(const Var<B, R>& any, double least, double most) {
  const Var<B, R> x = packed(any);
  return record(
      x.tensor(),
      [x, least, most](Context<B>& c, const Tensor<B, R>& dy) {
        using S = typename B::Scalar;
        if (auto dx = c.sink(x))
          kernel::limit_value_backward(c.backend(), View<const S, 1>(dy.data(), {dy.size()}),
                                       View<const S, 1>(x.tensor().data(), {x.size()}), S(least), S(most),
                                       Sink<S, 1>(dx.data, {dx.size()}, dx.add));
      },
      x);
}

}  // namespace phonaut
