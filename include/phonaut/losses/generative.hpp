#pragma once
// Losses of generative models over continuous frames: energy distance, flow matching, MELLE's flux.
#include <cmath>
#include <vector>

#include "phonaut/losses/regression.hpp"
#include "phonaut/ops/arithmetic.hpp"
#include "phonaut/ops/row_distance.hpp"

namespace phonaut {

/// The energy score of two samples for each target, d(s1, y) + d(s2, y) - d(s1, s2) with d = |·|^power: (rows, C) three
/// times -> (rows). Its expectation is least where the samples come from the distribution of y. Z. Ma et al.,
/// "Efficient Speech Language Modeling via Energy Distance in Continuous Latent Space" (SLED), 2025.
template <class B>
Var<B, 1> energy_scores(const Var<B, 2>& first, const Var<B, 2>& second, const Var<B, 2>& target, double power = 1) {
  return row_distance(first, target, power) + row_distance(second, target, power) - row_distance(first, second, power);
}
/// Mean of `energy_scores` over rows.
template <class B>
Var<B, 0> energy_distance_loss(const Var<B, 2>& first, const Var<B, 2>& second, const Var<B, 2>& target,
                               double power = 1) {
  return mean(energy_scores(first, second, target, power));
}

/// A point on the path from noise to data, and the velocity there.
template <class B>
struct FlowPoint {
  Var<B, 3> position, velocity;  ///< (N, T, C)
};

enum class FlowPath {
  straight,      ///< x_t = (1 - (1 - σ) t) x0 + t x1: optimal transport; rectified flow with σ = 0
  trigonometric  ///< x_t = cos(πt / 2) x0 + sin(πt / 2) x1: of equal variance everywhere
};

/// x_t and u = dx_t / dt, which for the straight path is x1 - (1 - σ) x0, with one t in [0, 1] for each utterance. Y.
/// Lipman et al., "Flow Matching for Generative Modeling", 2023; M. Albergo and E. Vanden-Eijnden, "Building
/// Normalizing Flows with Stochastic Interpolants", 2023. Throws ShapeError if shapes or the number of times do not
/// fit, ConfigError for a σ on the trigonometric path, which has none.
template <class B, class Times>
FlowPoint<B> flow_point(const Var<B, 3>& noise, const Var<B, 3>& data, const Times& times, double least_deviation = 0,
                        FlowPath path = FlowPath::straight) {
  using S = typename B::Scalar;
  check_same_shape("flow_point", "the noise", noise.shape(), "the data", data.shape());
  const long batch = noise.extent(0);
  if (static_cast<long>(std::size(times)) != batch)
    throw ShapeError(concat("flow_point: there are ", batch, " utterances but ", std::size(times), " times"));
  if (path == FlowPath::trigonometric && least_deviation != 0)
    throw ConfigError(concat("flow_point: the trigonometric path ends at the data, not ", least_deviation, " from it"));
  if (batch == 0) return {noise, data};
  const double keep = 1 - least_deviation, quarter = 1.57079632679489661923;
  std::vector<Var<B, 3>> positions, velocities;
  long n = 0;
  for (const auto time : times) {
    const double t = static_cast<double>(time), angle = quarter * t;
    const auto mixed = [&](double a, double b) {
      return S(a) * slice(noise, 0, n, n + 1) + S(b) * slice(data, 0, n, n + 1);
    };
    if (path == FlowPath::straight) {
      positions.push_back(mixed(1 - keep * t, t));
    } else {
      positions.push_back(mixed(std::cos(angle), std::sin(angle)));
      velocities.push_back(mixed(-quarter * std::sin(angle), quarter * std::cos(angle)));
    }
    ++n;
  }
  return {concatenate(positions, 0), path == FlowPath::straight ? data - S(keep) * noise : concatenate(velocities, 0)};
}

/// How the times of a training step are drawn.
struct FlowTimes {
  bool logit_normal =
      false;  ///< sigmoid of N(mean, deviation²): more in the middle, where guessing is hard; else uniform
  double mean = 0, deviation = 1;
};
/// A time in [0, 1] for each of `count` utterances, drawn from the context. P. Esser et al., "Scaling Rectified Flow
/// Transformers for High-Resolution Image Synthesis", 2024. Throws ConfigError for a deviation that is not positive.
template <class B>
std::vector<double> flow_times(Context<B>& ctx, long count, const FlowTimes& o = {}) {
  if (!(o.deviation > 0)) throw ConfigError(concat("flow_times: a deviation of ", o.deviation, " is none"));
  const Draws draws = ctx.random().take(count);
  std::vector<double> times;
  for (long n = 0; n < count; ++n)
    times.push_back(o.logit_normal ? 1 / (1 + std::exp(-o.mean - o.deviation * draws.normal(n)))
                                   : static_cast<double>(draws.uniform(n)));
  return times;
}

/// Mean (v - u)² over the real frames and channels: v the predicted velocity, u that of `flow_point`.
template <class B>
Var<B, 0> flow_matching_loss(const Sequence<B>& predicted, const Var<B, 3>& velocity) {
  return mse_loss(predicted, predicted.with(velocity));
}

/// MELLE's flux: -Σ_c |μ_t - y_{t-1}|, mean over the real frames t >= 1: it rewards movement. L. Meng et al.,
/// "Autoregressive Speech Synthesis without Vector Quantization", 2024. Throws ShapeError if the shapes differ.
template <class B>
Var<B, 0> flux_loss(const Sequence<B>& mean, const Sequence<B>& target) {
  check_same_shape("flux_loss", "the mean", mean.frames.shape(), "the target", target.frames.shape());
  check_lengths("flux_loss", mean);
  auto& ctx = mean.context();
  const long time = mean.time();
  const auto rows = detail::rows_where(
      ctx, mean.batch(), time, mean.length_data(), [](long, long t) { return t > 0; }, detail::HostNumbers::of_shapes);
  const auto before = detail::rows_where(
      ctx, mean.batch(), time, nullptr, [&](long n, long t) { return t + 1 < mean.length(n); },
      detail::HostNumbers::of_shapes);
  const Var<B, 2> x = take_rows(mean.frames, rows), y = take_rows(target.frames, before);
  return detail::pair_sum("flux_loss", formula::Distance{}, -detail::inverse(x.extent(0)), x, y);
}

}  // namespace phonaut
