#pragma once
// wav2vec 2.0's codebook diversity: every entry of every group should be used. A. Baevski et al., 2020.
#include "phonaut/losses/over_ranks.hpp"
#include "phonaut/ops/centre_columns.hpp"
#include "phonaut/ops/formula/elementary.hpp"
#include "phonaut/ops/formula/entropy.hpp"
#include "phonaut/ops/map.hpp"
#include "phonaut/ops/reduce.hpp"
#include "phonaut/ops/softmax.hpp"

namespace phonaut {

/// Σ_g exp(entropy of the mean over rows of softmax(logits)): logits (rows, G, V) -> a number in G … G V. Pass the rows
/// that count; with ranks that train together, the mean is over the rows of all.
template <class B>
Var<B, 0> soft_perplexity(const Var<B, 3>& logits) {
  const long groups = logits.extent(1), entries = logits.extent(2);
  const Var<B, 2> probabilities = reshape(softmax(logits), Shape<2>{logits.extent(0), groups * entries});
  const Var<B, 2> averages = reshape(mean_over_ranks(column_mean(probabilities), static_cast<double>(logits.extent(0))),
                                     Shape<2>{groups, entries});
  return sum(map(-sum_last(map(averages, formula::XLogX{})), formula::Exp{}));
}

/// (G V - perplexity) / (G V), in [0, 1).
template <class B>
Var<B, 0> diversity_loss(const Var<B, 0>& perplexity, long groups, long entries) {
  auto& ctx = perplexity.context();
  const auto all = static_cast<typename B::Scalar>(static_cast<double>(groups * entries));
  return ctx.constant(ctx.full(Shape<0>{}, typename B::Scalar(1))) - (typename B::Scalar(1) / all) * perplexity;
}
template <class B>
Var<B, 0> diversity_loss(const Var<B, 3>& logits) {
  return diversity_loss(soft_perplexity(logits), logits.extent(1), logits.extent(2));
}

}  // namespace phonaut
