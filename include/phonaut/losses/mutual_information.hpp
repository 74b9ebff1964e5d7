#pragma once
// An upper bound of the information that two representations share, to be minimised: speaker against content, say.
#include "phonaut/losses/over_ranks.hpp"
#include "phonaut/ops/activations.hpp"
#include "phonaut/ops/arithmetic.hpp"
#include "phonaut/ops/broadcast.hpp"
#include "phonaut/ops/reduce.hpp"

namespace phonaut {

/// A Gaussian guess of y from x: N(mean, exp(log_variance)), element by element; both (N, D).
template <class B>
struct GaussianGuess {
  Var<B, 2> mean, log_variance;
};

namespace detail {

template <class B>
void check_guess(const char* op, const GaussianGuess<B>& guess, const Var<B, 2>& y) {
  check_same_shape(op, "the mean", guess.mean.shape(), "y", y.shape());
  check_same_shape(op, "the log variance", guess.log_variance.shape(), "y", y.shape());
}

}  // namespace detail

/// What the guess itself is trained with: -log q(y | x) without its constant, ½ ((y - μ)² e^(-s) + s), summed over
/// dimensions, mean over rows. Throws ShapeError if the shapes differ.
template <class B>
Var<B, 0> guess_loss(const GaussianGuess<B>& guess, const Var<B, 2>& y) {
  using S = typename B::Scalar;
  detail::check_guess("guess_loss", guess, y);
  const Var<B, 2> terms = square(y - guess.mean) * exp(-guess.log_variance) + guess.log_variance;
  return S(0.5 / static_cast<double>(std::max(1L, y.extent(0)))) * sum(terms);
}

/// CLUB: mean over rows of log q(y_i | x_i) - mean_j log q(y_j | x_i), an upper bound of the mutual information in nats
/// where the guess is good. The mean over all pairs needs the first two moments of y only: time and memory are O(N D).
/// P. Cheng et al., "CLUB: A Contrastive Log-ratio Upper Bound of Mutual Information", 2020. Train the guess with
/// `guess_loss` on representations that are held constant, and hold the guess constant here. In training the rows are
/// those of all ranks. Throws ShapeError if the shapes differ.
template <class B>
Var<B, 0> club_bound(const GaussianGuess<B>& own_guess, const Var<B, 2>& own_y) {
  using S = typename B::Scalar;
  detail::check_guess("club_bound", own_guess, own_y);
  const GaussianGuess<B> guess{gather_over_ranks(own_guess.mean), gather_over_ranks(own_guess.log_variance)};
  const Var<B, 2> y = gather_over_ranks(own_y);
  const double rows = static_cast<double>(std::max(1L, y.extent(0)));
  const auto column_mean = [&](const Var<B, 2>& x) { return S(1 / rows) * sum_last(permute(x, {1, 0})); };
  // mean_j (y_j - μ)² - (y - μ)² = (mean y² - y²) - 2 μ (mean y - y), and the first part is taken as differences too,
  // of numbers about the mean: squares of large means would cancel.
  const Var<B, 2> centred = add_channels(y, Weight<B, 1>(-column_mean(y)));
  const Var<B, 2> guessed = add_channels(guess.mean, Weight<B, 1>(-column_mean(y)));
  const Var<B, 2> energy = add_channels(-square(centred), Weight<B, 1>(column_mean(square(centred))));
  return S(0.5 / rows) * sum((energy + S(2) * (guessed * centred)) * exp(-guess.log_variance));
}

}  // namespace phonaut
