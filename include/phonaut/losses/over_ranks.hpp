#pragma once
// Losses of a batch that several ranks share. The rule that all of them keep: a loss has the same value on every rank,
// that of the whole batch, and each rank has its own part of the gradient; the sum of the parts over ranks is the
// gradient of the whole batch. In inference nothing is reduced.
#include <algorithm>
#include <array>
#include <cmath>
#include <type_traits>
#include <vector>

#include "phonaut/core/param.hpp"
#include "phonaut/ops/arithmetic.hpp"
#include "phonaut/ops/frames.hpp"
#include "phonaut/ops/scale_gradient.hpp"

namespace phonaut {

namespace detail {

/// Adds up `n` numbers in the memory of the context's backend over its ranks. Throws ConfigError for backends of other
/// numbers than floats and doubles.
template <class B, class T>
void all_reduce(Context<B>& ctx, T* values, long n) {
  if (ctx.batch_ranks().alone()) return;
  if constexpr (!std::is_floating_point_v<T>) {
    (void)values, (void)n;
    throw ConfigError("ranks: only backends of floats or doubles can be reduced over ranks");
  } else if constexpr (std::is_same_v<typename B::Memory, HostMemory>) {
    ctx.batch_ranks().all_reduce(values, n);
  } else {
    std::vector<T> host(static_cast<size_t>(n));
    kernel::download(ctx.backend(), host.data(), values, host.size() * sizeof(T));
    ctx.batch_ranks().all_reduce(host.data(), n);
    kernel::upload(ctx.backend(), values, host.data(), host.size() * sizeof(T));
  }
}

/// The rows of all ranks behind each other, and where those of this rank begin.
template <class B>
struct GatheredRows {
  Tensor<B, 2> all;
  long first = 0;
};
/// Throws ShapeError, on every rank, where ranks have rows of different widths.
template <class B>
GatheredRows<B> gather_rows(Context<B>& ctx, const Tensor<B, 2>& own) {
  using S = typename B::Scalar;
  const Ranks& ranks = ctx.batch_ranks();
  if (ranks.alone()) return {own, 0};
  const long width = own.extent(1);
  const auto shapes = ranks.all_gather(own.shape());
  long rows = 0, most = 0, first = 0;
  for (size_t r = 0; r < shapes.size(); ++r) {
    if (shapes[r][1] != shapes[0][1])
      throw ShapeError(
          concat("ranks: rank 0 has rows of ", shapes[0][1], " numbers, but rank ", r, " has rows of ", shapes[r][1]));
    if (static_cast<int>(r) == ranks.rank()) first = rows;
    rows += shapes[r][0];
    most = std::max(most, shapes[r][0]);
  }
  // Every rank says as much as the one with the most rows.
  const auto each = static_cast<size_t>(most * width);
  std::vector<S> mine = values_of(ctx, own), said(each * shapes.size());
  mine.resize(each);
  if (each > 0) ranks.communicator()->all_gather(mine.data(), each * sizeof(S), said.data());
  GatheredRows<B> gathered{ctx.empty(Shape<2>{rows, width}), first};
  fill_from_host(ctx, gathered.all, [&](S* to) {
    for (size_t r = 0; r < shapes.size(); ++r) to = std::copy_n(said.data() + r * each, shapes[r][0] * width, to);
  });
  return gathered;
}

}  // namespace detail

/// The sum over ranks of tensors of one shape. For statistics from which every rank computes the same loss: what
/// follows must be the same on all ranks, so that each of them knows the whole gradient of the sum.
template <class B, size_t R>
Var<B, R> sum_over_ranks(const Var<B, R>& x) {
  auto& ctx = x.context();
  if (ctx.batch_ranks().alone()) return x;
  Tensor<B, R> y = ctx.clone(x.tensor());
  detail::all_reduce(ctx, y.data(), y.size());
  return record(
      std::move(y), [x](Context<B>& c, const Tensor<B, R>& dy) { detail::hand_on(c, dy, x); }, x);
}

/// The rows of all ranks behind each other, in the order of ranks: (n, C) of each -> (Σ n, C). For losses that hold
/// every row of a batch against every other. Each rank computes all of such a loss, and knows the whole gradient of its
/// rows; weights that come in behind this go through `whole_on_each_rank`. Throws ShapeError, on every rank, where they
/// have rows of different widths.
template <class B>
Var<B, 2> gather_over_ranks(const Var<B, 2>& x) {
  auto& ctx = x.context();
  if (ctx.batch_ranks().alone()) return x;
  const detail::GatheredRows<B> gathered = detail::gather_rows(ctx, x.tensor());
  const long first = gathered.first * x.extent(1);
  return record(
      gathered.all,
      [x, first](Context<B>& c, const Tensor<B, 2>& dy) {
        using S = typename B::Scalar;
        if (auto dx = c.sink(x))
          kernel::scale(c.backend(), S(1), View<const S, 1>(dy.data() + first, {x.size()}), dx.data, dx.add);
      },
      x);
}

/// A weight from which every rank computes the same, and so would have the whole gradient of it: the same numbers, of
/// whose gradient each rank has one part.
template <class B, size_t R>
Var<B, R> whole_on_each_rank(const Var<B, R>& weight) {
  const Ranks& ranks = weight.context().batch_ranks();
  return ranks.alone() ? weight : scale_gradient(weight, 1.0 / static_cast<double>(ranks.size()));
}

/// The mean over all ranks from the mean over what this rank has, `count` things: Σ count · mean / Σ count, and this
/// rank's part of its gradient; zeros where no rank has anything. `mean` is not looked at where the count is 0.
/// Alone it is `mean`. Throws ConfigError for a count that is negative or not finite.
template <class B, size_t R>
Var<B, R> mean_over_ranks(const Var<B, R>& mean, double count) {
  using S = typename B::Scalar;
  auto& ctx = mean.context();
  if (ctx.batch_ranks().alone()) return mean;
  if (!(count >= 0 && std::isfinite(count)))
    throw ConfigError(concat("mean_over_ranks: a mean over ", count, " things has no weight"));
  if constexpr (!std::is_floating_point_v<S>)
    throw ConfigError("ranks: only backends of floats or doubles can be reduced over ranks");
  std::vector<double> sums(static_cast<size_t>(mean.size()) + 1, 0.0);
  if (count > 0) {
    const auto values = values_of(mean);
    for (size_t i = 0; i < values.size(); ++i) sums[i] = count * static_cast<double>(values[i]);
  }
  sums.back() = count;
  ctx.batch_ranks().all_reduce(sums.data(), static_cast<long>(sums.size()));
  const double total = sums.back(), share = total > 0 ? count / total : 0;
  std::vector<S> values(sums.size() - 1);
  for (size_t i = 0; i < values.size(); ++i) values[i] = total > 0 ? S(sums[i] / total) : S(0);
  Tensor<B, R> y = ctx.empty(mean.shape());
  kernel::upload(ctx.backend(), y.data(), values.data(), values.size() * sizeof(S));
  return record(
      std::move(y),
      [mean, share](Context<B>& c, const Tensor<B, R>& dy) {
        if (auto dx = c.sink(mean))
          kernel::scale(c.backend(), S(share), View<const S, 1>(dy.data(), {dy.size()}), dx.data, dx.add);
      },
      mean);
}
/// The same for a mean over the real frames of x.
template <class B, size_t R>
Var<B, R> mean_over_ranks(const Var<B, R>& mean, const Sequence<B>& x) {
  double frames = 0;
  for (long n = 0; n < x.batch(); ++n) frames += static_cast<double>(x.length(n));
  return mean_over_ranks(mean, frames);
}

}  // namespace phonaut
