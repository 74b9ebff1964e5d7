#pragma once
// Dropout. Srivastava et al., 2014. Whether an element is dropped depends on its index and the draw stream alone, so
// every backend and every number of threads drops the same ones, and backward draws them again instead of keeping them.
#include "phonaut/core/random.hpp"
#include "phonaut/ops/shape.hpp"

namespace phonaut {

namespace kernel {

/// y[i] = x[i] · scale where draw i is at least `rate`, else 0 (or y += …). Serves forward and backward.
template <class S>
void dropout(const Reference&, Draws draws, float rate, View<const S, 1> x, S scale, S* y, bool add) {
  for (long i = 0; i < x.size(); ++i) {
    const S v = draws.uniform(i) < rate ? S(0) : x.data[i] * scale;
    y[i] = add ? y[i] + v : v;
  }
}
void dropout(const Cpu& cpu, Draws draws, float rate, View<const float, 1> x, float scale, float* y, bool add);
void dropout(const Cuda& cuda, Draws draws, float rate, View<const float, 1> x, float scale, float* y, bool add);

}  // namespace kernel

/// In training, sets elements to 0 with probability `rate` and multiplies the others by 1 / (1 - rate); otherwise hands
/// x on. Throws ConfigError unless 0 <= rate < 1.
template <class B, size_t R>
Var<B, R> dropout(const Var<B, R>& any, double rate) {
  using S = typename B::Scalar;
  if (!(rate >= 0 && rate < 1)) throw ConfigError(concat("dropout: the rate must be in [0, 1), got ", rate));
  auto& ctx = any.context();
  if (!ctx.training() || rate == 0) return any;
  const Var<B, R> x = packed(any);
  const Draws draws = ctx.random().take(x.size());
  const float limit = static_cast<float>(rate);
  const S scale = S(1.0 / (1.0 - rate));
  auto y = ctx.empty(x.shape());
  kernel::dropout(ctx.backend(), draws, limit, View<const S, 1>(x.in().data, {x.size()}), scale, y.data(), false);
  return record(
      std::move(y),
      [x = target(x), draws, limit, scale](Context<B>& c, const Tensor<B, R>& dy) {
        if (auto dx = c.sink(x))
          kernel::dropout(c.backend(), draws, limit, View<const S, 1>(dy.data(), {dy.size()}), scale, dx.data, dx.add);
      },
      x);
}

}  // namespace phonaut
