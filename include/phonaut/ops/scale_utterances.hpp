#pragma once
// Channels of an utterance scaled alike in all of its frames: dropout with one draw for all frames, feature masks.
#include "phonaut/ops/broadcast.hpp"

namespace phonaut {

namespace kernel {

/// y[n, …, c] = x[n, …, c] · m[n, c] (or +=); packed arrays of `m.shape[0]` utterances.
template <class B, class S>
void scale_utterances(const B& backend, const S* x, View<const S, 2> m, long rows_each, S* y, bool add) {
  const long each = rows_each * m.shape[1];
  for (long n = 0; n < m.shape[0]; ++n)
    scale_columns(backend, View<const S, 2>(x + n * each, {rows_each, m.shape[1]}), m.data + n * m.shape[1],
                  Sink<S, 2>(y + n * each, {rows_each, m.shape[1]}, add));
}

}  // namespace kernel

/// x (N, …, C) times m (N, C) in every frame of utterance n. m is a constant: no gradient reaches it. Throws ShapeError
/// if they do not fit.
template <class B, size_t R>
requires(R >= 3) Var<B, R> scale_utterances(const Var<B, R>& any, const Tensor<B, 2>& m) {
  using S = typename B::Scalar;
  if (m.shape() != Shape<2>{any.extent(0), any.extent(R - 1)})
    throw ShapeError(concat("scale_utterances: input of shape ", text(any.shape()), " needs factors ",
                            text(Shape<2>{any.extent(0), any.extent(R - 1)}), ", got ", text(m.shape())));
  const Var<B, R> x = packed(any);
  auto& ctx = x.context();
  auto y = ctx.empty(x.shape());
  const long rows = x.size() > 0 ? x.size() / m.size() : 0;
  kernel::scale_utterances(ctx.backend(), static_cast<const S*>(x.tensor().data()), m.in(), rows, y.data(), false);
  return record(
      std::move(y),
      [x = target(x), m, rows](Context<B>& c, const Tensor<B, R>& dy) {
        if (auto dx = c.sink(x))
          kernel::scale_utterances(c.backend(), static_cast<const S*>(dy.data()), m.in(), rows, dx.data, dx.add);
      },
      x);
}

}  // namespace phonaut
