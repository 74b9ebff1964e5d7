#pragma once
// Several tensors added up with a weight for each.
#include <vector>

#include "phonaut/ops/pair.hpp"
#include "phonaut/ops/scale_by.hpp"

namespace phonaut {

/// Σ_l weights[l] parts[l], parts of one shape, weights (L). The gradient of weight l is <dy, parts[l]>. Throws
/// ShapeError if shapes differ, or unless there is a weight for each of at least one part.
template <class B, size_t R>
Var<B, R> weighted_sum(const std::vector<Var<B, R>>& any, const Var<B, 1>& any_weights) {
  using S = typename B::Scalar;
  if (any.empty() || static_cast<long>(any.size()) != any_weights.extent(0))
    throw ShapeError(
        concat("weighted_sum: ", any.size(), " parts need as many weights, got ", text(any_weights.shape())));
  std::vector<Var<B, R>> parts;
  for (const Var<B, R>& x : any) {
    check_same_shape("weighted_sum", "one part", any.front().shape(), "another", x.shape());
    parts.push_back(packed(x));
  }
  const Var<B, 1> weights = packed(any_weights);
  auto& ctx = weights.context();
  auto y = ctx.empty(parts.front().shape());
  for (size_t l = 0; l < parts.size(); ++l)
    kernel::scale_by(ctx.backend(), static_cast<const S*>(weights.tensor().data() + l), detail::flat(parts[l].in()),
                     y.data(), l > 0);
  // The tape asks one of the parts on behalf of all.
  const Var<B, R>* wanting = &parts.front();
  for (const Var<B, R>& x : parts)
    if (ctx.wants_gradient(x)) wanting = &x;
  const Var<B, R> any_wanting = *wanting;
  return record(
      std::move(y),
      [parts = std::move(parts), weights](Context<B>& c, const Tensor<B, R>& dy) {
        if (const Sink<S, 1> dw = c.sink(weights)) {
          using kernel::pair_sum;
          const Tensor<B, 0> dot = c.empty(Shape<0>{});
          const View<const S, 2> left(dy.data(), {1, dy.size()});
          for (size_t l = 0; l < parts.size(); ++l) {
            const View<const S, 2> right(parts[l].tensor().data(), {1, dy.size()});
            pair_sum(c.backend(), formula::Product{}, 1.0, left, right, dw.add ? dot.data() : dw.data + l);
            if (dw.add) kernel::accumulate(c.backend(), View<const S, 1>(dot.data(), {1}), dw.data + l);
          }
        }
        for (size_t l = 0; l < parts.size(); ++l)
          if (const auto dx = c.sink(parts[l]))
            kernel::scale_by(c.backend(), static_cast<const S*>(weights.tensor().data() + l), detail::flat(dy), dx.data,
                             dx.add);
      },
      weights, any_wanting);
}

}  // namespace phonaut
