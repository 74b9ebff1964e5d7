#pragma once
// What tests of captured graphs share.
#include <algorithm>
#include <vector>

#include "no_gpu.hpp"
#include "numbers.hpp"
#include "phonaut/core/param.hpp"

namespace phonaut::testing {

template <size_t R>
Tensor<Cuda, R> tensor(Context<Cuda>& ctx, const Shape<R>& shape, unsigned seed) {
  auto t = ctx.empty(shape);
  refill(ctx, t, numbers(t.size(), seed));
  return t;
}

/// Tensors of many sizes from the context's pool, filled with one number, which none of them may lose.
class Neighbours {
 public:
  explicit Neighbours(Context<Cuda>& ctx) : ctx_(ctx) {
    taken_.reserve(13 * 8);
    for (long n = 1; n <= 4096; n *= 2)
      for (int i = 0; i < 8; ++i) taken_.push_back(ctx.full(Shape<1>{n}, 3.f));
  }
  bool unharmed() const {
    return std::all_of(taken_.begin(), taken_.end(), [&](const auto& t) {
      const auto values = values_of(ctx_, t);
      return std::all_of(values.begin(), values.end(), [](float v) { return v == 3.f; });
    });
  }

 private:
  Context<Cuda>& ctx_;
  std::vector<Tensor<Cuda, 1>> taken_;
};

}  // namespace phonaut::testing
