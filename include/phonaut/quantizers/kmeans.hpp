#pragma once
// k-means: Lloyd's iterations, seeding, and the mini-batch form for data that does not fit.
// S. Lloyd, 1982; D. Arthur and S. Vassilvitskii, "k-means++", 2007; D. Sculley, "Web-scale k-means clustering", 2010.
#include <algorithm>
#include <cstdint>
#include <vector>

#include "phonaut/core/param.hpp"
#include "phonaut/losses/over_ranks.hpp"
#include "phonaut/ops/frames.hpp"
#include "phonaut/ops/nearest_code.hpp"
#include "phonaut/quantizers/code_sums.hpp"

namespace phonaut {

struct KmeansOptions {
  long iterations = 10;
  enum class Seeding { rows, plus_plus } seeding = Seeding::rows;  ///< distinct random rows, or k-means++
  enum class Empty { keep, refill } empty = Empty::refill;  ///< an empty cluster keeps its mean, or takes a random row
  std::uint64_t purpose = 0x3EA5;                           ///< tells this user's draws of the step from others'
};

/// Clusters of points: means (K, D), how many points each had (K), and the cluster of each point (rows), as of the last
/// assignment.
template <class B>
struct Clusters {
  Tensor<B, 2> means;
  Tensor<B, 1> counts;
  Tensor<B, 1, std::int32_t> codes;
};

namespace kernel {

/// means[j] = sum[j] / count[j]; where the count is 0, the row of `replacement`, or nothing changes if that is empty.
template <class S>
void cluster_means(const Reference&, View<const Wide<S>, 1> count, View<const Wide<S>, 2> sum,
                   View<const S, 2> replacement, View<S, 2> means, View<S, 1> counts) {
  for (long j = 0; j < count.size(); ++j) {
    counts.data[j] = S(count.data[j]);
    const bool empty = !(count.data[j] > Wide<S>(0));
    if (empty && !replacement) continue;
    for (long d = 0; d < means.shape[1]; ++d)
      means.row(j)[d] = empty ? replacement.row(j)[d] : S(sum.row(j)[d] / count.data[j]);
  }
}
/// c <- (n c + sum) / (n + m) and n <- n + m for clusters with m > 0 new points.
template <class S>
void minibatch_means(const Reference&, View<const Wide<S>, 1> count, View<const Wide<S>, 2> sum, View<S, 2> means,
                     View<S, 1> counts) {
  using W = Wide<S>;
  for (long j = 0; j < count.size(); ++j) {
    if (!(count.data[j] > W(0))) continue;
    const W n = W(counts.data[j]), all = n + count.data[j];
    for (long d = 0; d < means.shape[1]; ++d) means.row(j)[d] = S((n * W(means.row(j)[d]) + sum.row(j)[d]) / all);
    counts.data[j] = S(all);
  }
}

void cluster_means(const Cuda& cuda, View<const double, 1> count, View<const double, 2> sum,
                   View<const float, 2> replacement, View<float, 2> means, View<float, 1> counts);
void minibatch_means(const Cuda& cuda, View<const double, 1> count, View<const double, 2> sum, View<float, 2> means,
                     View<float, 1> counts);

}  // namespace kernel

namespace detail {

/// `count` row numbers of 0 … rows-1, distinct as long as there are enough (then in rounds), from given draws.
inline std::vector<std::int32_t> draw_rows(const Draws& draws, long rows, long count) {
  std::vector<std::int32_t> order(static_cast<size_t>(rows)), chosen;
  for (long i = 0; i < rows; ++i) order[static_cast<size_t>(i)] = static_cast<std::int32_t>(i);
  for (long i = 0; i < count; ++i) {
    const long at = i % rows;  // Fisher-Yates, as far as needed
    std::swap(order[static_cast<size_t>(at)], order[static_cast<size_t>(at + draws.below(rows - at, i))]);
    chosen.push_back(order[static_cast<size_t>(at)]);
  }
  return chosen;
}
/// Points of a batch that ranks share: how many there are, and where those of this rank begin.
struct RowsOfRanks {
  long all = 0, first = 0;
};
template <class B>
RowsOfRanks rows_of_ranks(Context<B>& ctx, long own) {
  RowsOfRanks rows{own, 0};
  if (ctx.batch_ranks().alone()) return rows;
  const auto counts = ctx.batch_ranks().all_gather(own);
  rows.all = 0;
  for (size_t r = 0; r < counts.size(); ++r) {
    if (static_cast<int>(r) == ctx.batch_ranks().rank()) rows.first = rows.all;
    rows.all += counts[r];
  }
  return rows;
}

/// Those rows of points; with ranks, of the points of all of them behind each other.
template <class B>
Tensor<B, 2> rows_of(Context<B>& ctx, const Tensor<B, 2>& points, const std::vector<std::int32_t>& rows) {
  using S = typename B::Scalar;
  if (!ctx.batch_ranks().alone()) {
    // Each rank adds the rows that it has to zeros, which changes none of their bits.
    const RowsOfRanks place = rows_of_ranks(ctx, points.extent(0));
    const long dims = points.extent(1);
    const auto host = values_of(ctx, points);
    std::vector<S> chosen(rows.size() * static_cast<size_t>(dims), S(0));
    for (size_t i = 0; i < rows.size(); ++i)
      if (const long row = rows[i] - place.first; row >= 0 && row < points.extent(0))
        std::copy_n(host.begin() + row * dims, dims, chosen.begin() + static_cast<long>(i) * dims);
    auto y = ctx.empty(Shape<2>{static_cast<long>(rows.size()), dims});
    kernel::upload(ctx.backend(), y.data(), chosen.data(), chosen.size() * sizeof(S));
    all_reduce(ctx, y.data(), y.size());
    return y;
  }
  auto index = ctx.template empty_of<std::int32_t, 1>({static_cast<long>(rows.size())});
  fill_from_host(ctx, index, [&](std::int32_t* to) { std::copy(rows.begin(), rows.end(), to); });
  auto y = ctx.empty(Shape<2>{index.size(), points.extent(1)});
  kernel::take_rows(ctx.backend(), points.in(), index.in(), y.out());
  return y;
}

}  // namespace detail

/// Points to start from: `count` rows of `points` (rows, D). With k-means++ each next one is drawn with a probability
/// that grows with its squared distance from those before. More clusters than points: rows repeat. With ranks that
/// train together the points are those of all of them, and all find the same. Throws ShapeError without points.
template <class B>
Tensor<B, 2> kmeans_seeds(Context<B>& ctx, const Tensor<B, 2>& points, long count, KmeansOptions::Seeding seeding,
                          const Draws& draws) {
  const long rows = detail::rows_of_ranks(ctx, points.extent(0)).all, dims = points.extent(1);
  if (rows == 0) throw ShapeError(concat("kmeans: there are no points for ", count, " clusters"));
  if (seeding == KmeansOptions::Seeding::rows)
    return detail::rows_of(ctx, points, detail::draw_rows(draws, rows, count));
  const auto host = values_of(ctx, detail::gather_rows(ctx, points).all);
  std::vector<double> nearest(static_cast<size_t>(rows), 1.0);
  std::vector<std::int32_t> chosen;
  for (long k = 0; k < count; ++k) {
    double total = 0;
    for (const double d : nearest) total += d;
    double at = static_cast<double>(draws.uniform(k)) * total;
    long row = 0;
    while (row + 1 < rows && (at -= nearest[static_cast<size_t>(row)]) >= 0) ++row;
    if (!(total > 0)) row = draws.below(rows, k);  // fewer distinct points than clusters
    chosen.push_back(static_cast<std::int32_t>(row));
    for (long i = 0; i < rows; ++i) {
      double square = 0;
      for (long d = 0; d < dims; ++d) {
        const double apart = static_cast<double>(host[static_cast<size_t>(i * dims + d)]) -
                             static_cast<double>(host[static_cast<size_t>(row * dims + d)]);
        square += apart * apart;
      }
      double& best = nearest[static_cast<size_t>(i)];
      best = k == 0 ? square : std::min(best, square);
    }
  }
  return detail::rows_of(ctx, points, chosen);
}

/// Lloyd's iterations from given means `start` (K, D). `replacement(iteration)` returns rows (K, D) for clusters that
/// are empty in that iteration, or an empty tensor to let them keep their mean. Codes and counts are those of the last
/// assignment, before the last means.
template <class B, class Replacement>
Clusters<B> kmeans_from(Context<B>& ctx, const Tensor<B, 2>& points, const Tensor<B, 2>& start, long iterations,
                        const Replacement& replacement) {
  using S = typename B::Scalar;
  using W = kernel::Wide<S>;
  check_channels("kmeans", points.shape(), start.extent(1), "the means ", start.shape());
  const long count = start.extent(0), dims = start.extent(1);
  Clusters<B> clusters{ctx.clone(start), ctx.zeros(Shape<1>{count}), {}};
  const auto sums = ctx.template empty_of<W, 1>({count * (dims + 1)});
  const View<W, 1> counts(sums.data(), {count});
  const View<W, 2> totals(sums.data() + count, {count, dims});
  for (long i = 0; i < iterations; ++i) {
    clusters.codes = nearest_code(ctx, points, clusters.means);
    kernel::code_sums(ctx.backend(), points.in(), static_cast<const std::int32_t*>(clusters.codes.data()), counts,
                      totals);
    detail::all_reduce(ctx, sums.data(), sums.size());
    const Tensor<B, 2> instead = replacement(i);
    kernel::cluster_means(ctx.backend(), View<const W, 1>(counts), View<const W, 2>(totals), instead.in(),
                          clusters.means.out(), clusters.counts.out());
  }
  return clusters;
}

/// k-means of `points` (rows, D) into `count` clusters, with the draws of this step; in training, of the points of all
/// ranks that train together. Throws ShapeError without points.
template <class B>
Clusters<B> kmeans(Context<B>& ctx, const Tensor<B, 2>& points, long count, const KmeansOptions& options = {}) {
  const Tensor<B, 2> start = kmeans_seeds(ctx, points, count, options.seeding, ctx.step_draws(options.purpose));
  const long rows = detail::rows_of_ranks(ctx, points.extent(0)).all;
  return kmeans_from(ctx, points, start, std::max(1L, options.iterations), [&](long i) -> Tensor<B, 2> {
    if (options.empty == KmeansOptions::Empty::keep) return {};
    const Draws draws = ctx.step_draws(options.purpose + 1 + static_cast<std::uint64_t>(i));
    return detail::rows_of(ctx, points, detail::draw_rows(draws, rows, count));
  });
}

/// One step of mini-batch k-means: assigns `points`, then moves each mean that was hit to the average of all points it
/// ever had. `clusters.counts` grow; start them at 0.
template <class B>
void kmeans_minibatch(Context<B>& ctx, const Tensor<B, 2>& points, Clusters<B>& clusters) {
  using W = kernel::Wide<typename B::Scalar>;
  const long count = clusters.means.extent(0), dims = clusters.means.extent(1);
  clusters.codes = nearest_code(ctx, points, clusters.means);
  const auto sums = ctx.template empty_of<W, 1>({count * (dims + 1)});
  const View<W, 1> counts(sums.data(), {count});
  const View<W, 2> totals(sums.data() + count, {count, dims});
  kernel::code_sums(ctx.backend(), points.in(), static_cast<const std::int32_t*>(clusters.codes.data()), counts,
                    totals);
  detail::all_reduce(ctx, sums.data(), sums.size());
  kernel::minibatch_means(ctx.backend(), View<const W, 1>(counts), View<const W, 2>(totals), clusters.means.out(),
                          clusters.counts.out());
}

}  // namespace phonaut
