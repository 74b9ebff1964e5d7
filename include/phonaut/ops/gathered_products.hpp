#pragma once
// Dot products of rows with chosen rows of another matrix: the scores of contrastive losses with sampled negatives.
#include <cstdint>
#include <limits>

#include "phonaut/ops/shape.hpp"
#include "phonaut/ops/wide.hpp"

namespace phonaut {

/// Rows of another matrix, K of them for each row: (M, K).
template <class B>
using RowChoice = Tensor<B, 2, std::int32_t>;

namespace kernel {

/// y[i, k] = <u[i], v[choice[i, k]]>.
template <class S>
void gathered_products_forward(const Reference&, View<const S, 2> u, View<const S, 2> v,
                               View<const std::int32_t, 2> choice, View<S, 2> y) {
  for (long i = 0; i < y.shape[0]; ++i)
    for (long k = 0; k < y.shape[1]; ++k) {
      const S *a = u.row(i), *b = v.row(choice.row(i)[k]);
      Wide<S> total = 0;
      for (long c = 0; c < u.shape[1]; ++c) total += Wide<S>(a[c]) * Wide<S>(b[c]);
      y.row(i)[k] = S(total);
    }
}
/// du[i] = Σ_k dy[i, k] v[choice[i, k]], dv[choice[i, k]] += dy[i, k] u[i]: a row that was chosen often gets it often.
template <class S>
void gathered_products_backward(const Reference&, View<const S, 2> dy, View<const S, 2> u, View<const S, 2> v,
                                View<const std::int32_t, 2> choice, Sink<S, 2> du, Sink<S, 2> dv) {
  if (du && !du.add) std::fill_n(du.data, du.size(), S(0));
  if (dv && !dv.add) std::fill_n(dv.data, dv.size(), S(0));
  for (long i = 0; i < dy.shape[0]; ++i)
    for (long k = 0; k < dy.shape[1]; ++k) {
      const long j = choice.row(i)[k];
      const S g = dy.row(i)[k];
      if (du)
        for (long c = 0; c < u.shape[1]; ++c) du.row(i)[c] += g * v.row(j)[c];
      if (dv)
        for (long c = 0; c < u.shape[1]; ++c) dv.row(j)[c] += g * u.row(i)[c];
    }
}
/// y[i, k] = -inf for k >= 1 where row choice[i, k] of q equals row choice[i, 0] in every component, else x[i, k].
/// Where y is the gradient's sink, x the gradient and `value` 0, the same kernel is its own derivative.
template <class S>
void exclude_copies(const Reference&, View<const S, 2> q, View<const std::int32_t, 2> choice, View<const S, 2> x,
                    S value, Sink<S, 2> y) {
  for (long i = 0; i < x.shape[0]; ++i)
    for (long k = 0; k < x.shape[1]; ++k) {
      const S *a = q.row(choice.row(i)[0]), *b = q.row(choice.row(i)[k]);
      bool same = k > 0;
      for (long c = 0; same && c < q.shape[1]; ++c) same = a[c] == b[c];
      if (!same) y.put(i * x.shape[1] + k, x.row(i)[k]);
      else if (!y.add) y.row(i)[k] = value;
    }
}

void gathered_products_forward(const Cpu& cpu, View<const float, 2> u, View<const float, 2> v,
                               View<const std::int32_t, 2> choice, View<float, 2> y);
void gathered_products_backward(const Cpu& cpu, View<const float, 2> dy, View<const float, 2> u, View<const float, 2> v,
                                View<const std::int32_t, 2> choice, Sink<float, 2> du, Sink<float, 2> dv);
void exclude_copies(const Cpu& cpu, View<const float, 2> q, View<const std::int32_t, 2> choice, View<const float, 2> x,
                    float value, Sink<float, 2> y);
void gathered_products_forward(const Cuda& cuda, View<const float, 2> u, View<const float, 2> v,
                               View<const std::int32_t, 2> choice, View<float, 2> y);
void gathered_products_backward(const Cuda& cuda, View<const float, 2> dy, View<const float, 2> u,
                                View<const float, 2> v, View<const std::int32_t, 2> choice, Sink<float, 2> du,
                                Sink<float, 2> dv);
void exclude_copies(const Cuda& cuda, View<const float, 2> q, View<const std::int32_t, 2> choice,
                    View<const float, 2> x, float value, Sink<float, 2> y);

}  // namespace kernel

namespace detail {

template <class B>
void check_choice(const char* op, const RowChoice<B>& choice, long rows, long available) {
  if (choice.extent(0) != rows)
    throw ShapeError(concat(op, ": there are ", rows, " rows but choices for ", choice.extent(0)));
  if constexpr (std::is_same_v<typename B::Memory, HostMemory>)
    for (long i = 0; i < choice.size(); ++i)
      if (choice.data()[i] < 0 || choice.data()[i] >= available)
        throw ShapeError(concat(op, ": choice ", choice.data()[i], " of row ", i / choice.extent(1),
                                " is outside of 0 … ", available - 1));
}

}  // namespace detail

/// y[i, k] = <u[i], v[choice[i, k]]>: u (M, C), v (P, C), choice (M, K) -> (M, K). Throws ShapeError if channels differ
/// or a choice is not a row of v.
template <class B>
Var<B, 2> gathered_products(const Var<B, 2>& any_u, const Var<B, 2>& any_v, const RowChoice<B>& choice) {
  check_channels("gathered_products", any_u.shape(), any_v.extent(1), "the rows of ", any_v.shape());
  detail::check_choice("gathered_products", choice, any_u.extent(0), any_v.extent(0));
  const Var<B, 2> u = rowwise(any_u), v = rowwise(any_v);
  auto& ctx = u.context();
  auto y = ctx.empty(choice.shape());
  kernel::gathered_products_forward(ctx.backend(), u.in(), v.in(), choice.in(), y.out());
  return record(
      std::move(y),
      [u, v, choice](Context<B>& c, const Tensor<B, 2>& dy) {
        const auto du = c.sink(u), dv = c.sink(v);
        kernel::gathered_products_backward(c.backend(), dy.in(), u.in(), v.in(), choice.in(), du, dv);
      },
      u, v);
}

/// Scores x (M, K) with minus infinity in place of those (but the first of each row) whose chosen row of q equals the
/// first chosen one in every component: a negative that is the positive is no negative.
template <class B>
Var<B, 2> exclude_copies(const Var<B, 2>& any, const Var<B, 2>& any_q, const RowChoice<B>& choice) {
  check_same_shape("exclude_copies", "scores", any.shape(), "choices", choice.shape());
  detail::check_choice("exclude_copies", choice, any.extent(0), any_q.extent(0));
  using S = typename B::Scalar;
  const Var<B, 2> x = rowwise(any), q = rowwise(any_q);
  auto& ctx = x.context();
  auto y = ctx.empty(x.shape());
  const S excluded = S(-std::numeric_limits<double>::infinity());
  kernel::exclude_copies(ctx.backend(), q.in(), choice.in(), x.in(), excluded, Sink<S, 2>(y.data(), y.shape(), false));
  return record(
      std::move(y),
      [x, values = q.tensor(), choice](Context<B>& c, const Tensor<B, 2>& dy) {
        if (auto dx = c.sink(x)) kernel::exclude_copies(c.backend(), values.in(), choice.in(), dy.in(), S(0), dx);
      },
      x);
}

}  // namespace phonaut
