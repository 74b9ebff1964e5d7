#pragma once
// A codebook that follows running averages of the points assigned to its entries, and its revival of dead entries.
// A. van den Oord et al., "Neural Discrete Representation Learning", 2017 (appendix A.1).
#include <atomic>
#include <memory>
#include <type_traits>
#include <vector>

#include "phonaut/core/param.hpp"
#include "phonaut/losses/over_ranks.hpp"
#include "phonaut/ops/nearest_code.hpp"
#include "phonaut/quantizers/codes.hpp"
#include "phonaut/quantizers/kmeans.hpp"

namespace phonaut {

/// How a running codebook follows the data.
struct EmaRule {
  double decay = 0.99;
  double epsilon = 1e-5;
  bool only_hit = false;  ///< entries without a point in a step keep their averages undecayed (DinoSR)
  /// From counts n_j and sums s_j to entries:
  enum class Smoothing {
    laplace,  ///< s_j / ((n_j + ε) / (Σn + K ε) · Σn): EnCodec, vector-quantize-pytorch
    clamp     ///< s_j / max(n_j, ε): Moshi
  } smoothing = Smoothing::laplace;
  /// Which entries are dead, and what becomes of them. A revived entry takes over a point of the batch, and its running
  /// sum and count with it: reviving the entry alone would be undone by the next update.
  enum class Revival {
    none,
    before,  ///< before the update: n_j < threshold · mean n; count becomes revived_usage · mean n (Moshi)
    after    ///< after the update: n_j < threshold; count becomes threshold (vector-quantize-pytorch)
  } revival = Revival::none;
  double threshold = 0.1;
  double revived_usage = 1;
  long check_every = 1;  ///< steps between two looks for dead entries (Revival::before)
};

namespace kernel {

/// n <- g n + (1 - g) count and s <- g s + (1 - g) sum; `only_hit`: where the count is not 0.
template <class S>
void ema_follow(const Reference&, double decay, bool only_hit, View<const Wide<S>, 1> count, View<const Wide<S>, 2> sum,
                View<S, 1> running_count, View<S, 2> running_sum) {
  using W = Wide<S>;
  const W keep = W(decay), take = W(1 - decay);
  for (long j = 0; j < count.size(); ++j) {
    if (only_hit && !(count.data[j] > W(0))) continue;
    running_count.data[j] = S(keep * W(running_count.data[j]) + take * count.data[j]);
    for (long d = 0; d < sum.shape[1]; ++d)
      running_sum.row(j)[d] = S(keep * W(running_sum.row(j)[d]) + take * sum.row(j)[d]);
  }
}
/// Entries from counts and sums.
template <class S>
void ema_entries(const Reference&, bool laplace, double epsilon, View<const S, 1> count, View<const S, 2> sum,
                 View<S, 2> entries) {
  using W = Wide<S>;
  W total = 0;
  for (long j = 0; j < count.size(); ++j) total += W(count.data[j]);
  for (long j = 0; j < count.size(); ++j) {
    W n = W(count.data[j]);
    if (laplace) n = (n + W(epsilon)) / (total + W(epsilon * static_cast<double>(count.size()))) * total;
    else if (n < W(epsilon)) n = W(epsilon);
    for (long d = 0; d < entries.shape[1]; ++d) entries.row(j)[d] = S(W(sum.row(j)[d]) / n);
  }
}
/// The same for marked entries alone, without smoothing: they were just given a sum and a count.
template <class S>
void ema_entries_where(const Reference&, const std::uint8_t* marked, View<const S, 1> count, View<const S, 2> sum,
                       View<S, 2> entries) {
  for (long j = 0; j < count.size(); ++j)
    for (long d = 0; marked[j] && d < entries.shape[1]; ++d) entries.row(j)[d] = sum.row(j)[d] / count.data[j];
}
/// Sums of clusters from their means. A cluster that was refilled counts as one point: without a count its entry would
/// not survive the next update.
template <class S>
void sums_of_clusters(const Reference&, View<const S, 2> mean, View<S, 1> count, View<S, 2> sum) {
  for (long j = 0; j < count.size(); ++j) {
    if (count.data[j] < S(1)) count.data[j] = S(1);
    for (long d = 0; d < mean.shape[1]; ++d) sum.row(j)[d] = count.data[j] * mean.row(j)[d];
  }
}
/// Entries with count[j] < least get `usage` as count and usage · their replacement as sum. Replacements are taken by
/// the number of the entry, or, `compact`, in order: the first for the first dead entry. dead[j] says which were.
template <class S>
void revive(const Reference&, double least, double usage, bool compact, View<const S, 2> replacement, View<S, 1> count,
            View<S, 2> sum, std::uint8_t* dead) {
  long next = 0;
  for (long j = 0; j < count.size(); ++j) {
    dead[j] = count.data[j] < S(least);
    if (!dead[j]) continue;
    const S* from = replacement.row(compact ? next++ : j);
    count.data[j] = S(usage);
    for (long d = 0; d < sum.shape[1]; ++d) sum.row(j)[d] = S(usage) * from[d];
  }
}

void ema_follow(const Cuda& cuda, double decay, bool only_hit, View<const double, 1> count, View<const double, 2> sum,
                View<float, 1> running_count, View<float, 2> running_sum);
void ema_entries(const Cuda& cuda, bool laplace, double epsilon, View<const float, 1> count, View<const float, 2> sum,
                 View<float, 2> entries);
void ema_entries_where(const Cuda& cuda, const std::uint8_t* marked, View<const float, 1> count,
                       View<const float, 2> sum, View<float, 2> entries);
void sums_of_clusters(const Cuda& cuda, View<const float, 2> mean, View<float, 1> count, View<float, 2> sum);
void revive(const Cuda& cuda, double least, double usage, bool compact, View<const float, 2> replacement,
            View<float, 1> count, View<float, 2> sum, std::uint8_t* dead);

}  // namespace kernel

/// Entries (K, D) with the running sums and counts behind them. Invariant: each entry is its sum over its smoothed
/// count; every change goes through a member that keeps it. Updates write into the shared tensors, whoever holds them.
template <class B>
struct Codebook {
  using S = typename B::Scalar;
  State<B, 2> embedding, embedding_sum;  ///< (K, D)
  State<B, 1> cluster_size;              ///< (K)

  Codebook() = default;
  /// Entries drawn from N(0, 1 / dims), each as if it had been used once; `wait` leaves them to `initialise`.
  Codebook(Context<B>& ctx, long entries, long dims, bool wait = false)
      : embedding(make_state<S>(ctx, Shape<2>{entries, dims},
                                Init::normal(1 / std::sqrt(static_cast<double>(std::max(1L, dims)))))),
        embedding_sum(make_state<S>(ctx, Shape<2>{entries, dims}, Init::constant(0))),
        cluster_size(make_state<S>(ctx, Shape<1>{entries}, Init::constant(1))),
        initialised_(make_state<std::int32_t>(ctx, Shape<1>{1}, Init::constant(wait ? 0 : 1))),
        known_ready_(std::make_shared<std::atomic<bool>>(!wait)) {
    if (entries < 1 || dims < 1)
      throw ConfigError(concat("codebook: needs at least one entry and one dimension, got ", entries, " x ", dims));
    kernel::pack(ctx.backend(), embedding.in(), embedding_sum.tensor().data());
  }

  long entries() const { return embedding.shape()[0]; }
  long dims() const { return embedding.shape()[1]; }
  /// Whether the entries mean something. Reads the flag until it is set, and then once more after each `visit`.
  bool ready(Context<B>& ctx) const {
    if (known_ready_->load(std::memory_order_relaxed)) return true;
    std::int32_t flag = 0;
    kernel::download(ctx.backend(), &flag, initialised_.tensor().data(), sizeof flag);
    known_ready_->store(flag != 0, std::memory_order_relaxed);
    return flag != 0;
  }

  /// Entries by k-means over `points` (rows, D): `iterations` of Lloyd from rows drawn for this step, empty clusters
  /// refilled. Sums are entries times their counts, so that the first update does not shrink them. Does nothing
  /// without points.
  void initialise(Context<B>& ctx, const Tensor<B, 2>& points, long iterations, std::uint64_t purpose) const {
    if (detail::rows_of_ranks(ctx, points.extent(0)).all == 0) return;
    const auto clusters = kmeans(ctx, points, entries(), {.iterations = iterations, .purpose = purpose});
    kernel::pack(ctx.backend(), clusters.means.in(), embedding.tensor().data());
    kernel::pack(ctx.backend(), clusters.counts.in(), cluster_size.tensor().data());
    kernel::sums_of_clusters(ctx.backend(), clusters.means.in(), cluster_size.tensor().out(),
                             embedding_sum.tensor().out());
    const std::int32_t yes = 1;
    kernel::upload(ctx.backend(), initialised_.tensor().data(), &yes, sizeof yes);
    known_ready_->store(true, std::memory_order_relaxed);
  }

  /// One step of the running averages, after `points` (rows, D) were assigned `code` with the entries from before.
  /// `replacement` (K, D) are the points that dead entries take over. In training, sums are added up over ranks before
  /// they are averaged, so that all ranks keep the same codebook. Returns which entries were revived (K), or nothing
  /// where the rule did not look.
  Tensor<B, 1, std::uint8_t> update(Context<B>& ctx, const Tensor<B, 2>& points, const Tensor<B, 1, std::int32_t>& code,
                                    const EmaRule& rule, const Tensor<B, 2>& replacement) const {
    using W = kernel::Wide<S>;
    const auto sums = ctx.template empty_of<W, 1>({entries() * (dims() + 1)});
    const View<W, 1> counts(sums.data(), {entries()});
    const View<W, 2> totals(sums.data() + entries(), {entries(), dims()});
    kernel::code_sums(ctx.backend(), points.in(), static_cast<const std::int32_t*>(code.data()), counts, totals);
    detail::all_reduce(ctx, sums.data(), sums.size());
    const auto count = cluster_size.tensor().out();
    const auto sum = embedding_sum.tensor().out();
    Tensor<B, 1, std::uint8_t> dead;
    const auto revive = [&](double least, double usage, bool compact) {
      dead = ctx.template empty_of<std::uint8_t, 1>({entries()});
      kernel::revive(ctx.backend(), least, usage, compact, replacement.in(), count, sum, dead.data());
    };
    if (rule.revival == EmaRule::Revival::before && replacement && (ctx.step() + 1) % rule.check_every == 0) {
      const double mean = mean_usage(ctx);
      revive(rule.threshold * mean, rule.revived_usage * mean, false);
    }
    kernel::ema_follow(ctx.backend(), rule.decay, rule.only_hit, View<const W, 1>(counts), View<const W, 2>(totals),
                       count, sum);
    refresh(ctx, rule);
    if (rule.revival == EmaRule::Revival::after && replacement) {
      revive(rule.threshold, rule.threshold, true);
      // A revived entry is its replacement; the others keep the smoothing of the update.
      kernel::ema_entries_where(ctx.backend(), dead.data(), View<const S, 1>(count), View<const S, 2>(sum),
                                embedding.tensor().out());
    }
    return dead;
  }
  /// Entries from sums and counts, by the rule.
  void refresh(Context<B>& ctx, const EmaRule& rule) const {
    kernel::ema_entries(ctx.backend(), rule.smoothing == EmaRule::Smoothing::laplace, rule.epsilon, cluster_size.in(),
                        embedding_sum.in(), embedding.tensor().out());
  }
  /// Mean of the running counts.
  double mean_usage(Context<B>& ctx) const {
    double total = 0;
    for (const S n : values_of(ctx, cluster_size.tensor())) total += static_cast<double>(n);
    return total / static_cast<double>(entries());
  }

  static void visit(auto& self, auto&& f) {
    f("embedding", self.embedding);
    f("embedding_sum", self.embedding_sum);
    f("cluster_size", self.cluster_size);
    [[maybe_unused]] const void* const before = self.initialised_.tensor().data();
    f("initialised", self.initialised_);
    // As all writing to weights, this is for one thread at a time. Whoever asks for the flag may write to it, now or,
    // as those who read a checkpoint, in a moment; and may put another in its place, which copies of this codebook have
    // no part in.
    if constexpr (!std::is_const_v<std::remove_reference_t<decltype(self)>>)
      if (self.initialised_.tensor().data() != before) self.known_ready_ = std::make_shared<std::atomic<bool>>(false);
    self.known_ready_->store(false, std::memory_order_relaxed);
  }

 private:
  State<B, 1, std::int32_t> initialised_;  ///< (1): 1 once the entries mean something
  /// That the flag is set, for copies that share it: the host need not wait for a GPU to learn it again. (Ema writes to
  /// the flag of an average without a visit, but then it turns from 0 to 1.)
  std::shared_ptr<std::atomic<bool>> known_ready_ = std::make_shared<std::atomic<bool>>(false);
};

}  // namespace phonaut
