#pragma once
// Losses that tell a positive from negatives: wav2vec 2.0, CPC, NT-Xent, CLIP.
#include <vector>

#include "phonaut/core/full_precision.hpp"
#include "phonaut/losses/cross_entropy.hpp"
#include "phonaut/losses/over_ranks.hpp"
#include "phonaut/ops/diagonal.hpp"
#include "phonaut/ops/formula/clamped_exp.hpp"
#include "phonaut/ops/gathered_products.hpp"
#include "phonaut/ops/linear.hpp"
#include "phonaut/ops/map.hpp"
#include "phonaut/ops/scale_by.hpp"
#include "phonaut/ops/unit_rows.hpp"

namespace phonaut {

namespace kernel {

/// to[i] = (first + i) modulo `period`.
template <class I>
void count_around(const Reference&, long first, long period, View<I, 1> to) {
  for (long i = 0; i < to.size(); ++i) to.data[i] = static_cast<I>((first + i) % period);
}
/// Choices of CPC for the step that looks `ahead`: of each of `window` frames of an utterance of `time` frames, the row
/// of that target, and its negatives behind it.
template <class I>
void cpc_choice(const Reference&, View<const I, 2> negatives, long time, long window, long ahead, View<I, 2> choice) {
  for (long i = 0; i < choice.shape[0]; ++i) {
    choice.row(i)[0] = static_cast<I>(i / window * time + i % window + ahead);
    std::copy_n(negatives.row(i), negatives.shape[1], choice.row(i) + 1);
  }
}

void count_around(const Cuda& cuda, long first, long period, View<std::int32_t, 1> to);
void cpc_choice(const Cuda& cuda, View<const std::int32_t, 2> negatives, long time, long window, long ahead,
                View<std::int32_t, 2> choice);

}  // namespace kernel

namespace detail {

/// Labels first, first + 1, … modulo `period`.
template <class B>
Labels<B> rotated_labels(Context<B>& ctx, long n, long first, long period) {
  Labels<B> labels = ctx.template empty_of<std::int32_t, 1>({n});
  kernel::count_around(ctx.backend(), first, period, labels.out());
  return labels;
}
/// Labels 0 for n rows: the positive stands first.
template <class B>
Labels<B> first_labels(Context<B>& ctx, long n) {
  return rotated_labels(ctx, n, 0, 1);
}

}  // namespace detail

/// Positives and negatives of contrastive losses: row i of the result is (positive of i, its `negatives`), where row i
/// is its own positive and negatives are drawn uniformly from the other rows of the same utterance. `counts` are the
/// rows of each utterance, in order (masked frames, say). An utterance of a single row has no others: its negatives
/// are the row itself, which `exclude_copies` takes out again.
template <class B>
RowChoice<B> sample_negatives(Context<B>& ctx, const std::vector<long>& counts, long negatives) {
  long rows = 0;
  for (long count : counts) rows += count;
  RowChoice<B> choice = ctx.template empty_of<std::int32_t, 2>({rows, negatives + 1});
  const Draws draws = ctx.random().take(rows * negatives);
  detail::fill_from_host(ctx, choice, [&](std::int32_t* to) {
    long first = 0, draw = 0;
    for (long count : counts) {
      for (long i = 0; i < count; ++i) {
        *to++ = static_cast<std::int32_t>(first + i);
        for (long k = 0; k < negatives; ++k, ++draw) {
          const long other = count > 1 ? draws.below(count - 1, draw) : 0;
          *to++ = static_cast<std::int32_t>(first + other + (count > 1 && other >= i));
        }
      }
      first += count;
    }
  });
  return choice;
}

/// Logits of wav2vec 2.0 (A. Baevski et al., 2020): cos(c_i, q_j) / temperature for j in choice[i] = (positive,
/// negatives…). A negative that equals the positive in every component gets minus infinity. c (M, C), q (P, C),
/// choice (M, K + 1) -> (M, K + 1).
template <class B>
Var<B, 2> wav2vec2_logits(const Var<B, 2>& c, const Var<B, 2>& q, const RowChoice<B>& choice,
                          double temperature = 0.1) {
  const Var<B, 2> cosines = gathered_products(unit_rows(c), unit_rows(q), choice);
  return exclude_copies(typename B::Scalar(1 / temperature) * cosines, q, choice);
}

/// Σ over rows of logsumexp(l) - l_0 with the logits above (Reduction::mean divides by the rows). The gradient reaches
/// c, the positives and every chosen negative.
template <class B>
Var<B, 0> wav2vec2_loss(const Var<B, 2>& c, const Var<B, 2>& q, const RowChoice<B>& choice, double temperature = 0.1,
                        Reduction reduction = Reduction::sum) {
  return cross_entropy(wav2vec2_logits(c, q, choice, temperature), detail::first_labels(c.context(), c.extent(0)),
                       {.reduction = reduction});
}

/// Contrastive predictive coding (A. van den Oord et al., 2018): W_k c_t must find z_{t+k} among negatives, by their
/// dot product times `scale` (1 / dimensions is the published choice). One loss for each step k = 1 … K, mean over
/// t < T - K. contexts (N, T, A), targets (N, T, E), weights (K, E, A); `negatives` (N (T - K), M) are rows of the
/// targets (n·T + t), shared by all steps. All frames count: cut batches to equal lengths.
template <class B>
std::vector<Var<B, 0>> cpc_losses(const Var<B, 3>& contexts, const Var<B, 3>& targets, Weight<B, 3> weights,
                                  const RowChoice<B>& negatives, double scale) {
  const long batch = contexts.extent(0), time = contexts.extent(1), steps = weights.extent(0), window = time - steps;
  if (targets.extent(0) != batch || targets.extent(1) != time)
    throw ShapeError(concat("cpc: contexts are ", text(contexts.shape()), " but targets ", text(targets.shape())));
  if (window < 1) throw ShapeError(concat("cpc: ", time, " frames leave nothing to predict ", steps, " steps ahead"));
  if (negatives.extent(0) != batch * window)
    throw ShapeError(
        concat("cpc: negatives are ", text(negatives.shape()), " but there are ", batch * window, " predictions"));
  auto& ctx = contexts.context();
  const Var<B, 3> w = ctx.lift(weights);
  const Var<B, 2> c = reshape(packed(slice(contexts, 1, 0, window)), Shape<2>{batch * window, contexts.extent(2)});
  const Var<B, 2> z = reshape(targets, Shape<2>{batch * time, targets.extent(2)});
  const long others = negatives.extent(1);
  const Labels<B> labels = detail::first_labels(ctx, batch * window);
  std::vector<Var<B, 0>> losses;
  for (long k = 0; k < steps; ++k) {
    RowChoice<B> choice = ctx.template empty_of<std::int32_t, 2>({batch * window, others + 1});
    kernel::cpc_choice(ctx.backend(), negatives.in(), time, window, k + 1, choice.out());
    const auto step = reshape(slice(w, 0, k, k + 1), Shape<2>{weights.extent(1), weights.extent(2)});
    const auto scores = gathered_products(linear(c, step), z, choice);
    losses.push_back(cross_entropy(typename B::Scalar(scale) * scores, labels));
  }
  return losses;
}

/// Mean of `cpc_losses` over the steps.
template <class B>
Var<B, 0> cpc_loss(const Var<B, 3>& contexts, const Var<B, 3>& targets, Weight<B, 3> weights,
                   const RowChoice<B>& negatives, double scale) {
  const auto losses = cpc_losses(contexts, targets, weights, negatives, scale);
  Var<B, 0> total = losses.front();
  for (size_t k = 1; k < losses.size(); ++k) total = total + losses[k];
  return typename B::Scalar(1.0 / static_cast<double>(losses.size())) * total;
}

/// NT-Xent (T. Chen et al., SimCLR, 2020): of all 2N - 1 others, row i of x must find row i of y, and the reverse. Mean
/// over the 2N rows of the cross-entropy of cosines / temperature. In training the rows are those of all ranks. Throws
/// ShapeError if the shapes differ.
template <class B>
Var<B, 0> ntxent_loss(const Var<B, 2>& x, const Var<B, 2>& y, double temperature = 0.5) {
  check_same_shape("ntxent_loss", "x", x.shape(), "y", y.shape());
  auto& ctx = x.context();
  const FullPrecision full(ctx);
  const Var<B, 2> all_x = gather_over_ranks(x), all_y = gather_over_ranks(y);
  const long n = all_x.extent(0);
  const Var<B, 2> z = unit_rows(concatenate(std::vector{all_x, all_y}, 0), 1e-12);
  const Var<B, 2> logits = typename B::Scalar(1 / temperature) * linear(z, z);
  return cross_entropy(with_diagonal(logits, -std::numeric_limits<double>::infinity()),
                       detail::rotated_labels(ctx, 2 * n, n, 2 * n));
}

/// CLIP (A. Radford et al., 2021): row i of x must find row i of y among all of y, and the reverse; mean of both
/// cross-entropies of s · cosines with s = min(exp(log_scale), most). Above `most` the scale gets no gradient. In
/// training the rows are those of all ranks. Throws ShapeError if the shapes differ.
template <class B>
Var<B, 0> clip_loss(const Var<B, 2>& x, const Var<B, 2>& y, Weight<B, 0> log_scale, double most = 100) {
  check_same_shape("clip_loss", "x", x.shape(), "y", y.shape());
  auto& ctx = x.context();
  const FullPrecision full(ctx);
  const auto scale = map(whole_on_each_rank(ctx.lift(log_scale)), formula::ClampedExp{static_cast<float>(most)});
  const Var<B, 2> all_x = unit_rows(gather_over_ranks(x), 1e-12), all_y = unit_rows(gather_over_ranks(y), 1e-12);
  const Var<B, 2> logits = scale_by(scale, linear(all_x, all_y));
  const Labels<B> labels = detail::rotated_labels(ctx, all_x.extent(0), 0, all_x.extent(0));
  return typename B::Scalar(0.5) * (cross_entropy(logits, labels) + cross_entropy(permute(logits, {1, 0}), labels));
}

}  // namespace phonaut
