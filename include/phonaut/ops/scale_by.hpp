#pragma once
// Scaling by a number that lives in the backend's memory: a learned scale, or the gradient of a loss.
#include "phonaut/ops/arithmetic.hpp"
#include "phonaut/ops/formula/distance.hpp"
#include "phonaut/ops/pair.hpp"

namespace phonaut {

namespace kernel {

/// y = (*a) x, or y += (*a) x.
template <class B, class S>
requires std::is_base_of_v<Reference, B>
void scale_by(const B& backend, const S* a, View<const S, 1> x, S* y, bool add) { scale(backend, *a, x, y, add); }
void scale_by(const Cuda& cuda, const float* a, View<const float, 1> x, float* y, bool add);

}  // namespace kernel

/// a x for a scalar a; the gradient of a is <dy, x>.
template <class B, size_t R>
Var<B, R> scale_by(const Var<B, 0>& a, const Var<B, R>& any) {
  using S = typename B::Scalar;
  const Var<B, R> x = packed(any);
  auto& ctx = x.context();
  auto y = ctx.empty(x.shape());
  kernel::scale_by(ctx.backend(), static_cast<const S*>(a.tensor().data()), detail::flat(x.in()), y.data(), false);
  return record(
      std::move(y),
      [a, x](Context<B>& c, const Tensor<B, R>& dy) {
        if (auto da = c.sink(a)) {
          using kernel::pair_sum;
          const Tensor<B, 0> dot = c.empty(Shape<0>{});
          const View<const S, 2> left(dy.data(), {1, dy.size()}), right(x.tensor().data(), {1, x.size()});
          pair_sum(c.backend(), formula::Product{}, 1.0, left, right, da.add ? dot.data() : da.data);
          if (da.add) kernel::accumulate(c.backend(), View<const S, 1>(dot.data(), {1}), da.data);
        }
        if (auto dx = c.sink(x))
          kernel::scale_by(c.backend(), static_cast<const S*>(a.tensor().data()), detail::flat(dy), dx.data, dx.add);
      },
      a, x);
}

}  // namespace phonaut
