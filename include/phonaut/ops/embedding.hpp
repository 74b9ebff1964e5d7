#pragma once
// Rows of a table, looked up by number.
#include <cstdint>

#include "phonaut/ops/shape.hpp"

namespace phonaut {

namespace kernel {

/// y[i] = table[ids[i]].
template <class S, class I>
void embedding_forward(const Reference&, View<const S, 2> table, View<const I, 1> ids, View<S, 2> y) {
  for (long i = 0; i < ids.size(); ++i)
    std::copy_n(table.row(static_cast<long>(ids.data[i])), table.shape[1], y.row(i));
}
/// dtable[ids[i]] += dy[i], in the order of i.
template <class S, class I>
void embedding_backward(const Reference&, View<const S, 2> dy, View<const I, 1> ids, Sink<S, 2> dtable) {
  const long width = dtable.shape[1];
  if (!dtable.add) std::fill_n(dtable.data, dtable.size(), S(0));
  for (long i = 0; i < ids.size(); ++i) {
    const S* from = dy.row(i);
    S* to = dtable.row(static_cast<long>(ids.data[i]));
    for (long c = 0; c < width; ++c) to[c] += from[c];
  }
}

void embedding_forward(const Cuda& cuda, View<const float, 2> table, View<const std::int32_t, 1> ids, View<float, 2> y);
void embedding_forward(const Cuda& cuda, View<const float, 2> table, View<const std::int64_t, 1> ids, View<float, 2> y);
void embedding_backward(const Cuda& cuda, View<const float, 2> dy, View<const std::int32_t, 1> ids,
                        Sink<float, 2> dtable);
void embedding_backward(const Cuda& cuda, View<const float, 2> dy, View<const std::int64_t, 1> ids,
                        Sink<float, 2> dtable);

}  // namespace kernel

/// table (entries, C) looked up by `ids` (…) -> (…, C). Throws ShapeError for an id outside of the table.
template <class B, size_t R, class I>
Var<B, R + 1> embedding(Context<B>& ctx, const Tensor<B, R, I>& ids, Weight<B, 2> table) {
  static_assert(std::is_integral_v<I>, "ids are whole numbers");
  if (!ids.contiguous()) throw ShapeError("embedding: the ids must be packed");
  const View<const I, 1> flat(ids.data(), {ids.size()});
  if constexpr (std::is_same_v<typename B::Memory, HostMemory>)
    for (long i = 0; i < flat.size(); ++i)
      if (flat.data[i] < 0 || static_cast<long>(flat.data[i]) >= table.extent(0))
        throw ShapeError(
            concat("embedding: id ", flat.data[i], " at place ", i, " is outside of 0 … ", table.extent(0) - 1));
  const Var<B, 2> w = ctx.lift(table);
  Shape<R + 1> shape{};
  std::copy_n(ids.shape().begin(), R, shape.begin());
  shape[R] = table.extent(1);
  auto y = ctx.empty(shape);
  kernel::embedding_forward(ctx.backend(), w.in(), flat, as_rows(y.out()));
  return record(
      std::move(y),
      [ids, w](Context<B>& c, const Tensor<B, R + 1>& dy) {
        if (auto dw = c.sink(w))
          kernel::embedding_backward(c.backend(), as_rows(dy.in()), View<const I, 1>(ids.data(), {ids.size()}), dw);
      },
      w);
}

}  // namespace phonaut
