#pragma once
// Holds a function's values and gradients on any backend against dual numbers pushed through its reference formulas.
// For the tests of phonaut and for those of users' own ops.
#include <algorithm>
#include <array>
#include <cmath>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "phonaut/core/dual.hpp"
#include "phonaut/core/param.hpp"
#include "phonaut/ops/arithmetic.hpp"

#ifndef PHONAUT_CHECKED_DIRECTIONS
/// Random directions along which `compare` checks the gradient of a large input.
#define PHONAUT_CHECKED_DIRECTIONS 64
#endif

namespace phonaut::testing {

/// Host values of an input.
template <size_t R>
struct Values {
  Shape<R> shape{};
  std::vector<double> data;
};

/// Values from N(mean, deviation²), rounded to float so that every backend sees the same numbers.
template <size_t R>
Values<R> normal(const Shape<R>& shape, std::uint64_t seed, double deviation = 1, double mean = 0) {
  Values<R> v{shape, std::vector<double>(static_cast<size_t>(element_count(shape)))};
  const Draws draws = Random{seed, 0}.take(element_count(shape));
  for (size_t i = 0; i < v.data.size(); ++i)
    v.data[i] = static_cast<float>(mean + deviation * draws.normal(static_cast<long>(i)));
  return v;
}

/// Worst differences, relative to the largest wanted magnitude of the tensor concerned (see `check`).
struct Comparison {
  double value = 0;               ///< forward
  std::vector<double> gradients;  ///< one for each input
  double worst_gradient() const {
    return gradients.empty() ? 0 : *std::max_element(gradients.begin(), gradients.end());
  }
};

namespace detail {

template <class B, class F, size_t... R, size_t... I>
auto run(Context<B>& ctx, const F& f, const std::tuple<Values<R>...>& inputs, std::index_sequence<I...>) {
  return f(input(ctx, std::get<I>(inputs).shape, std::get<I>(inputs).data)...);
}

inline double scaled_error(const std::vector<double>& got, const std::vector<double>& want, double floor) {
  double scale = floor, error = 0;
  for (double w : want) scale = std::max(scale, std::fabs(w));
  for (size_t i = 0; i < want.size(); ++i) {
    const double e = std::fabs(got[i] - want[i]);
    error = std::isnan(e) ? INFINITY : std::max(error, e);
  }
  return scale > 0 ? error / scale : error;
}

}  // namespace detail

/// Runs `f(inputs...)` (a generic callable from Vars to a Var, that works for any backend) three ways: in double for
/// the values, in dual numbers for the derivative along every input element (or along 64 random directions where an
/// input has more than 512 elements; PHONAUT_CHECKED_DIRECTIONS and eight times that), and on `backend` with its
/// backward pass. New memory is poisoned with NaN, and gradients are taken in both set and add mode. `prepare(ctx)` may
/// put each context into another mode.
template <class B, class F, size_t... R, class Prepare>
Comparison compare(B backend, const F& f, const std::tuple<Values<R>...>& inputs, const Prepare& prepare) {
  constexpr auto indices = std::index_sequence_for<Values<R>...>{};
  Comparison result;

  // Values.
  Context<Reference64> exact;
  prepare(exact);
  exact.set_recording(false);
  const auto want = detail::run(exact, f, inputs, indices);
  std::vector<double> want_values = values_of(want);
  std::vector<double> cotangent(want_values.size());
  const Draws draws = Random{4711, 0}.take(static_cast<long>(cotangent.size()));
  for (size_t i = 0; i < cotangent.size(); ++i) cotangent[i] = static_cast<float>(draws.normal(static_cast<long>(i)));

  // Backward on the backend: loss = Σ cotangent · (f + f), so that every sink is set once and added to once.
  Context<B> ctx(backend);
  ctx.poison(true);
  prepare(ctx);
  ctx.set_recording(true);
  const auto leaves = [&]<size_t... I>(std::index_sequence<I...>) {
    return std::tuple{[&] {
      const auto constant = input(ctx, std::get<I>(inputs).shape, std::get<I>(inputs).data);
      return ctx.variable(constant.tensor());
    }()...};
  }
  (indices);
  const Random draws_before = ctx.random();
  const auto y1 = std::apply(f, leaves);
  ctx.random() = draws_before;  // dropout and the like: the same draws again
  const auto y2 = std::apply(f, leaves);
  {
    const auto got = values_of(y1);
    result.value = detail::scaled_error({got.begin(), got.end()}, want_values, 1e-30);
  }
  const auto weights = input(ctx, y1.shape(), cotangent);
  const auto loss = sum(weights * y1) + sum(weights * y2);
  Gradients<B> gradients;  // stays empty where all inputs are: an empty tensor wants none
  if (ctx.wants_gradient(loss)) ctx.backward(loss, gradients);

  // Dual numbers, one input after the other.
  const auto one_input = [&]<size_t I>(std::integral_constant<size_t, I>) {
    const auto& x = std::get<I>(leaves);
    std::vector<double> got(static_cast<size_t>(x.size()), 0.0);
    if (gradients.has(x)) {
      const auto g = values_of(ctx, gradients[x]);
      for (size_t i = 0; i < got.size(); ++i) got[i] = 0.5 * static_cast<double>(g[i]);
    }
    const bool each = got.size() <= size_t{8} * PHONAUT_CHECKED_DIRECTIONS;
    const size_t directions = each ? got.size() : PHONAUT_CHECKED_DIRECTIONS;
    std::vector<double> got_along(directions), want_along(directions);
    for (size_t d = 0; d < directions; ++d) {
      std::vector<double> direction(got.size(), 0.0);
      if (each) direction[d] = 1;
      else {
        const Draws r = Random{99 + d, 0}.take(static_cast<long>(got.size()));
        for (size_t i = 0; i < got.size(); ++i) direction[i] = r.normal(static_cast<long>(i));
      }
      Context<ReferenceOf<Dual>> dual;
      prepare(dual);
      dual.set_recording(false);
      dual.random() = draws_before;
      const auto y = [&]<size_t... J>(std::index_sequence<J...>) {
        return f([&] {
          const auto& v = std::get<J>(inputs);
          std::vector<Dual> elements(v.data.begin(), v.data.end());
          if constexpr (J == I)
            for (size_t i = 0; i < elements.size(); ++i) elements[i].slope = direction[i];
          return input(dual, v.shape, elements);
        }()...);
      }
      (indices);
      const auto slopes = values_of(y);
      for (size_t i = 0; i < slopes.size(); ++i) want_along[d] += cotangent[i] * slopes[i].slope;
      for (size_t i = 0; i < got.size(); ++i) got_along[d] += got[i] * direction[i];
    }
    // Along a random direction a gradient g has a slope of about |g|; a few directions may by chance all have less.
    double norm = 0;
    if (!each)
      for (const double g : got) norm = std::hypot(norm, g);
    result.gradients.push_back(detail::scaled_error(got_along, want_along, std::max(1e-6, norm)));
  };
  [&]<size_t... I>(std::index_sequence<I...>) { (one_input(std::integral_constant<size_t, I>{}), ...); }
  (indices);
  return result;
}

template <class B, class F, size_t... R>
Comparison compare(B backend, const F& f, const std::tuple<Values<R>...>& inputs) {
  return compare(backend, f, inputs, [](auto&) {});
}

}  // namespace phonaut::testing
