#pragma once
// Losses between a generator and its discriminators, over the scores and feature maps that those return. Scores and
// maps come as lists, one entry for each discriminator or layer, of any one rank.
#include <vector>

#include "phonaut/losses/regression.hpp"
#include "phonaut/ops/arithmetic.hpp"
#include "phonaut/ops/formula/elementary.hpp"
#include "phonaut/ops/formula/hinge.hpp"
#include "phonaut/ops/map.hpp"
#include "phonaut/ops/scale_by.hpp"

namespace phonaut {

enum class Adversary {
  hinge,         ///< mean relu(1 - r) + mean relu(1 + f) against mean relu(1 - f); J. H. Lim and J. C. Ye, 2017
  hinge_linear,  ///< the same discriminator against -mean f
  least_squares  ///< mean (1 - r)² + mean f² against mean (1 - f)²; X. Mao et al., 2017
};

namespace detail {

template <class B, class Terms>
Var<B, 0> total_of(const Terms& terms, double scale) {
  Var<B, 0> total;
  for (const auto& term : terms) total = total ? total + term : term;
  return scale == 1 ? total : typename B::Scalar(scale) * total;
}
template <size_t R, class B>
void check_scores(const char* op, const std::vector<Var<B, R>>& a, size_t other) {
  if (a.empty() || a.size() != other)
    throw ShapeError(concat(op, ": there are ", a.size(), " lists of one kind and ", other, " of the other"));
}

}  // namespace detail

/// What the discriminators minimise. `averaged` divides by their number, as EnCodec does; DAC and HiFi-GAN sum. Throws
/// ShapeError if the lists are empty or differ in length, as do all of this file.
template <class B, size_t R>
Var<B, 0> discriminator_loss(Adversary kind, const std::vector<Var<B, R>>& real, const std::vector<Var<B, R>>& fake,
                             bool averaged) {
  detail::check_scores("discriminator_loss", real, fake.size());
  std::vector<Var<B, 0>> terms;
  for (size_t i = 0; i < real.size(); ++i) {
    if (kind == Adversary::least_squares)
      terms.push_back(mean(map(real[i], formula::SquaredFromOne{})) + mean(map(fake[i], formula::Square{})));
    else terms.push_back(mean(map(real[i], formula::HingeAbove{})) + mean(map(fake[i], formula::HingeBelow{})));
  }
  return detail::total_of<B>(terms, averaged ? 1.0 / static_cast<double>(real.size()) : 1.0);
}

/// What the generator minimises.
template <class B, size_t R>
Var<B, 0> generator_loss(Adversary kind, const std::vector<Var<B, R>>& fake, bool averaged) {
  detail::check_scores("generator_loss", fake, fake.size());
  std::vector<Var<B, 0>> terms;
  for (const Var<B, R>& score : fake) {
    if (kind == Adversary::least_squares) terms.push_back(mean(map(score, formula::SquaredFromOne{})));
    else if (kind == Adversary::hinge) terms.push_back(mean(map(score, formula::HingeAbove{})));
    else terms.push_back(-mean(score));
  }
  return detail::total_of<B>(terms, averaged ? 1.0 / static_cast<double>(fake.size()) : 1.0);
}

/// Feature matching: Σ over maps of mean |real - fake| (DAC; HiFi-GAN doubles it), or EnCodec's relative form, the mean
/// over maps of mean |real - fake| / mean |real|. Real maps are constants. A. Larsen et al., 2016.
template <class B, size_t R>
Var<B, 0> feature_matching_loss(const std::vector<Var<B, R>>& real, const std::vector<Var<B, R>>& fake, bool relative) {
  detail::check_scores("feature_matching_loss", real, fake.size());
  std::vector<Var<B, 0>> terms;
  for (size_t i = 0; i < real.size(); ++i) {
    auto& ctx = fake[i].context();
    const Var<B, R> fixed = ctx.detach(real[i]);
    Var<B, 0> term = l1_loss(fixed, fake[i]);
    if (relative)
      term = scale_by(map(l1_loss(fixed, ctx.constant(ctx.zeros(fixed.shape()))), formula::Reciprocal{}), term);
    terms.push_back(term);
  }
  return detail::total_of<B>(terms, relative ? 1.0 / static_cast<double>(real.size()) : 1.0);
}

}  // namespace phonaut
